-- The daemons that share this store, as each tells of itself.

CREATE TABLE hosts (
    instance   UUID PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    can        JSONB NOT NULL,
    workers    BIGINT NOT NULL,
    version    TEXT NOT NULL,
    draining   BOOLEAN NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    seen_at    TIMESTAMPTZ NOT NULL
);
