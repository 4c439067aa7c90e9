-- What people are to know: for each event the people whom it concerns. The event itself
-- stands in the ledger.

CREATE TABLE notifications (
    user_id  UUID NOT NULL REFERENCES users (id),
    position BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    subject  TEXT NOT NULL,
    reason   TEXT NOT NULL,
    at       TIMESTAMPTZ NOT NULL,
    read_at  TIMESTAMPTZ,
    PRIMARY KEY (user_id, position)
);

-- How far the ledger was read for whom.
CREATE TABLE inbox_cursor (
    org_id   UUID PRIMARY KEY,
    position BIGINT NOT NULL
);
