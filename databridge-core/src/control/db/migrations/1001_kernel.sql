-- Types are PostgreSQL's; db/dialect.rs says what SQLite stores in their place.

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE orgs (
    id         UUID PRIMARY KEY,
    code       TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE users (
    id                   UUID PRIMARY KEY,
    org_id               UUID NOT NULL REFERENCES orgs (id),
    username             TEXT NOT NULL,
    display_name         TEXT NOT NULL,
    email                TEXT,
    kind                 TEXT NOT NULL,
    password_hash        TEXT,
    must_change_password BOOLEAN NOT NULL,
    active               BOOLEAN NOT NULL,
    version              BIGINT NOT NULL,
    created_at           TIMESTAMPTZ NOT NULL,
    UNIQUE (org_id, username)
);

CREATE TABLE role_grants (
    id          UUID PRIMARY KEY,
    org_id      UUID NOT NULL REFERENCES orgs (id),
    user_id     UUID NOT NULL REFERENCES users (id),
    role        TEXT NOT NULL,
    project     TEXT,
    effect      TEXT NOT NULL,
    valid_until TIMESTAMPTZ,
    granted_by  UUID NOT NULL,
    granted_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX role_grants_by_user ON role_grants (user_id);

CREATE TABLE sessions (
    id         UUID PRIMARY KEY,
    user_id    UUID NOT NULL REFERENCES users (id),
    issued_at  TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ
);
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE api_keys (
    id          UUID PRIMARY KEY,
    user_id     UUID NOT NULL REFERENCES users (id),
    name        TEXT NOT NULL,
    secret_hash BYTEA NOT NULL UNIQUE,
    expires_at  TIMESTAMPTZ,
    revoked_at  TIMESTAMPTZ,
    created_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX api_keys_by_user ON api_keys (user_id);

CREATE TABLE idempotency (
    actor_id   UUID NOT NULL,
    key        TEXT NOT NULL,
    request    BYTEA NOT NULL,
    response   JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (actor_id, key)
);

-- The columns beside `body` are projections of it, for queries; `body` is what is
-- hashed, byte for byte, and so it is text on both databases.
CREATE TABLE ledger_event (
    id           UUID PRIMARY KEY,
    org_id       UUID NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id   UUID NOT NULL,
    kind         TEXT NOT NULL,
    actor        TEXT NOT NULL,
    recorded_at  TIMESTAMPTZ NOT NULL,
    body         TEXT NOT NULL
);
CREATE INDEX ledger_event_by_subject ON ledger_event (subject_id, id);

-- Events that no sealer has given a position yet.
CREATE TABLE ledger_pending (
    event_id UUID PRIMARY KEY REFERENCES ledger_event (id)
);

CREATE TABLE ledger_leaf (
    position BIGINT PRIMARY KEY,
    event_id UUID NOT NULL UNIQUE REFERENCES ledger_event (id)
);

-- Hashes of the tree in the storage order of tlog-tiles, so that an append reads
-- and writes a logarithm of them.
CREATE TABLE ledger_node (
    idx  BIGINT PRIMARY KEY,
    hash BYTEA NOT NULL
);

CREATE TABLE ledger_head (
    id   BIGINT PRIMARY KEY,
    size BIGINT NOT NULL,
    root BYTEA NOT NULL
);
-- SHA-256 of nothing: the root of the empty tree (RFC 6962, 2.1).
-- sqlite:
INSERT INTO ledger_head VALUES (1, 0, X'E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855');
-- end
-- postgres:
INSERT INTO ledger_head VALUES (1, 0, '\xE3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855');
-- end

CREATE TABLE jobs (
    id          UUID PRIMARY KEY,
    org_id      UUID NOT NULL,
    kind        TEXT NOT NULL,
    subject_id  UUID NOT NULL,
    key         TEXT NOT NULL UNIQUE,
    payload     JSONB NOT NULL,
    state       TEXT NOT NULL,
    priority    BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    run_at      TIMESTAMPTZ NOT NULL,
    lease_owner TEXT,
    lease_until TIMESTAMPTZ,
    epoch       BIGINT NOT NULL,
    progress    JSONB,
    last_error  TEXT,
    created_at  TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ
);
CREATE INDEX jobs_to_claim ON jobs (state, priority, run_at);
CREATE INDEX jobs_by_subject ON jobs (subject_id);

-- The ledger is append-only whoever writes. `ledger verify` finds what a person
-- with the right to drop these triggers did.
-- sqlite:
CREATE TRIGGER ledger_event_no_update BEFORE UPDATE ON ledger_event
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_event_no_delete BEFORE DELETE ON ledger_event
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_leaf_no_update BEFORE UPDATE ON ledger_leaf
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_leaf_no_delete BEFORE DELETE ON ledger_leaf
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
-- end
-- postgres:
CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
CREATE TRIGGER ledger_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_event
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only();
CREATE TRIGGER ledger_leaf_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_leaf
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only();
-- end
