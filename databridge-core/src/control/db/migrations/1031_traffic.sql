-- Work that is held back, and bandwidth that is limited at run time.

ALTER TABLE jobs ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE bandwidth (
    org_id           UUID NOT NULL,
    host             TEXT NOT NULL,
    bytes_per_second BIGINT,
    set_by           TEXT NOT NULL,
    set_at           TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (org_id, host)
);
