-- Refresh tokens that are used once, failures that are remembered, keys with scopes,
-- people and roles from a directory, and who stands in for whom.

CREATE TABLE refresh_tokens (
    secret_hash BYTEA PRIMARY KEY,
    session_id  UUID NOT NULL REFERENCES sessions (id),
    issued_at   TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    used_at     TIMESTAMPTZ
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- The subject is a hash: people type passwords where a name belongs.
CREATE TABLE signin_failures (
    org_id  UUID NOT NULL,
    subject BYTEA NOT NULL,
    tries   BIGINT NOT NULL,
    since   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (org_id, subject)
);

ALTER TABLE api_keys ADD COLUMN scopes JSONB;
ALTER TABLE api_keys ADD COLUMN last_used_at TIMESTAMPTZ;

ALTER TABLE role_grants ADD COLUMN source TEXT NOT NULL DEFAULT 'local';

CREATE TABLE absences (
    id         UUID PRIMARY KEY,
    org_id     UUID NOT NULL REFERENCES orgs (id),
    user_id    UUID NOT NULL REFERENCES users (id),
    deputy_id  UUID NOT NULL REFERENCES users (id),
    begins_at  TIMESTAMPTZ NOT NULL,
    ends_at    TIMESTAMPTZ NOT NULL,
    reason     TEXT,
    set_by     TEXT NOT NULL,
    set_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX absences_by_deputy ON absences (deputy_id, ends_at);
