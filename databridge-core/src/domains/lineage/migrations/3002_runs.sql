-- What a run keeps of its execution, and the statuses that replace ACTIVE and
-- CANCELLED. Runs of before have eleven steps too, of which nothing is known.

ALTER TABLE production_runs ADD COLUMN current_step_index BIGINT NOT NULL DEFAULT 0
    CHECK (current_step_index BETWEEN 0 AND 10);
ALTER TABLE production_runs ADD COLUMN started_by TEXT;
ALTER TABLE production_runs ADD COLUMN idempotency_key TEXT;
ALTER TABLE production_runs ADD COLUMN hold_reason TEXT;
ALTER TABLE production_runs ADD COLUMN summary JSONB;
ALTER TABLE production_runs ADD COLUMN completed_at TIMESTAMPTZ;
ALTER TABLE production_runs ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

UPDATE production_runs SET status = 'RUNNING' WHERE status = 'ACTIVE';
UPDATE production_runs SET status = 'ABORTED' WHERE status = 'CANCELLED';
UPDATE production_runs SET idempotency_key = CAST(id AS TEXT);
CREATE UNIQUE INDEX production_runs_by_key ON production_runs (org_id, idempotency_key);
CREATE INDEX production_runs_by_org ON production_runs (org_id, id);

CREATE TABLE run_step_executions (
    id           UUID PRIMARY KEY,
    run_id       UUID NOT NULL REFERENCES production_runs (id),
    step_index   BIGINT NOT NULL CHECK (step_index BETWEEN 0 AND 10),
    node_id      TEXT NOT NULL,
    status       TEXT NOT NULL,
    started_at   TIMESTAMPTZ,
    completed_at TIMESTAMPTZ,
    operator_id  UUID REFERENCES users (id),
    operator     TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    UNIQUE (run_id, step_index)
);

-- sqlite:
INSERT INTO run_step_executions (id, run_id, step_index, node_id, status, created_at)
SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
        || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
    r.id, s.value, 'node-' || s.value,
    CASE WHEN r.status = 'RUNNING' THEN 'PENDING' ELSE 'SKIPPED' END, r.created_at
FROM production_runs r, json_each('[0,1,2,3,4,5,6,7,8,9,10]') s;
-- end
-- postgres:
INSERT INTO run_step_executions (id, run_id, step_index, node_id, status, created_at)
SELECT gen_random_uuid(), r.id, s.i, 'node-' || s.i,
    CASE WHEN r.status = 'RUNNING' THEN 'PENDING' ELSE 'SKIPPED' END, r.created_at
FROM production_runs r, generate_series(0, 10) AS s (i);
-- end
