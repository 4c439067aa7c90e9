-- What a scan found out, file by file, while it goes on: taken up again after a kill
-- it does not begin anew, and the next revision need not ask again about what has
-- not changed. `basis` is the digest of engines, signatures, rules and policy that a
-- verdict rests on, `said_in` the revision in whose scan the engines were asked.
CREATE TABLE scanned_files (
    transfer_id     UUID NOT NULL REFERENCES transfers (id),
    revision        BIGINT NOT NULL,
    path            TEXT NOT NULL,
    sha256          TEXT NOT NULL,
    basis           TEXT NOT NULL,
    manifest_digest TEXT NOT NULL,
    job_id          UUID NOT NULL,
    said_in         BIGINT NOT NULL,
    findings        JSONB NOT NULL,
    scanned_at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (transfer_id, revision, path)
);
