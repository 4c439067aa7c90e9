CREATE TABLE approval_chains (
    id         UUID PRIMARY KEY,
    org_id     UUID NOT NULL REFERENCES orgs (id),
    name       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    stages     JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (org_id, name, version)
);

CREATE TABLE transfers (
    id              UUID PRIMARY KEY,
    org_id          UUID NOT NULL REFERENCES orgs (id),
    code            TEXT NOT NULL UNIQUE,
    title           TEXT NOT NULL,
    project         TEXT NOT NULL,
    category        TEXT NOT NULL,
    owner_id        UUID NOT NULL REFERENCES users (id),
    chain_id        UUID NOT NULL REFERENCES approval_chains (id),
    state           TEXT NOT NULL,
    stage           BIGINT NOT NULL,
    revision        BIGINT NOT NULL,
    version         BIGINT NOT NULL,
    -- Grows with every worker that takes the delivery up: the file system's fence.
    fence           BIGINT NOT NULL,
    manifest_digest TEXT,
    reason          TEXT,
    failure         JSONB,
    destination     TEXT,
    copy_report     JSONB,
    receipt         TEXT,
    -- `embedded` once anybody acted on it without a daemon: the receipt says so.
    authority       TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL,
    delivered_at    TIMESTAMPTZ
);
CREATE INDEX transfers_by_org ON transfers (org_id, id);
CREATE INDEX transfers_by_state ON transfers (org_id, state);

-- What a revision consists of. `blob` is where an upload waits to be frozen,
-- `carried` the revision whose frozen tree has it already. The facts are those of
-- the frozen file.
CREATE TABLE transfer_files (
    transfer_id UUID NOT NULL REFERENCES transfers (id),
    revision    BIGINT NOT NULL,
    path        TEXT NOT NULL,
    -- Equal for two names that differ only by case or Unicode normalisation.
    folded      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    size_bytes  BIGINT NOT NULL,
    sha256      TEXT,
    blob        TEXT,
    carried     BIGINT,
    mtime_ns    BIGINT,
    ctime_ns    BIGINT,
    dev         BIGINT,
    ino         BIGINT,
    PRIMARY KEY (transfer_id, revision, path),
    UNIQUE (transfer_id, revision, folded)
);

CREATE TABLE transfer_revisions (
    transfer_id     UUID NOT NULL REFERENCES transfers (id),
    revision        BIGINT NOT NULL,
    manifest_digest TEXT NOT NULL,
    file_count      BIGINT NOT NULL,
    total_bytes     BIGINT NOT NULL,
    frozen_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (transfer_id, revision)
);

CREATE TABLE approvals (
    id              UUID PRIMARY KEY,
    transfer_id     UUID NOT NULL REFERENCES transfers (id),
    revision        BIGINT NOT NULL,
    stage           BIGINT NOT NULL,
    stage_key       TEXT NOT NULL,
    role            TEXT NOT NULL,
    decision        TEXT NOT NULL,
    user_id         UUID NOT NULL REFERENCES users (id),
    username        TEXT NOT NULL,
    on_behalf_of    TEXT,
    -- Whether somebody else than the owner and the other approvers decided.
    separate        BOOLEAN NOT NULL,
    reason          TEXT,
    manifest_digest TEXT NOT NULL,
    decided_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX approvals_by_transfer ON approvals (transfer_id, revision, stage);

CREATE TABLE transfer_overrides (
    id          UUID PRIMARY KEY,
    transfer_id UUID NOT NULL REFERENCES transfers (id),
    revision    BIGINT NOT NULL,
    what        TEXT NOT NULL,
    username    TEXT NOT NULL,
    reason      TEXT NOT NULL,
    decided_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX transfer_overrides_by_transfer ON transfer_overrides (transfer_id, revision);

CREATE TABLE scan_reports (
    id              UUID PRIMARY KEY,
    transfer_id     UUID NOT NULL REFERENCES transfers (id),
    revision        BIGINT NOT NULL,
    manifest_digest TEXT NOT NULL,
    report          JSONB NOT NULL,
    decision        JSONB,
    scanned_at      TIMESTAMPTZ NOT NULL
);
CREATE INDEX scan_reports_by_transfer ON scan_reports (transfer_id, revision, id);
