-- Uploads that come in pieces: how much of each is durable, and how far its SHA-256 is.
CREATE TABLE transfer_uploads (
    id           UUID PRIMARY KEY,
    transfer_id  UUID NOT NULL REFERENCES transfers (id),
    user_id      UUID NOT NULL REFERENCES users (id),
    path         TEXT NOT NULL,
    folded       TEXT NOT NULL,
    -- As its client gave it, to be told again.
    metadata     TEXT NOT NULL,
    length_bytes BIGINT NOT NULL,
    kept_bytes   BIGINT NOT NULL,
    -- SHA-256 after `kept_bytes`, which the next piece takes up.
    hash         BYTEA,
    -- Grows with every writer: whoever holds an older one is too late.
    epoch        BIGINT NOT NULL,
    done         BOOLEAN NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX transfer_uploads_by_transfer ON transfer_uploads (transfer_id);
CREATE INDEX transfer_uploads_by_expiry ON transfer_uploads (expires_at);
-- What a user has in staging is added up where there is a quota.
CREATE INDEX transfers_by_owner ON transfers (owner_id);
