-- Weights are milligrams and temperatures thousandths of a degree Celsius, so that
-- sums are exact on both databases.

CREATE TABLE scenarios (
    id         UUID PRIMARY KEY,
    org_id     UUID NOT NULL REFERENCES orgs (id),
    name       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (org_id, name, version)
);

CREATE TABLE streams (
    id          UUID PRIMARY KEY,
    scenario_id UUID NOT NULL REFERENCES scenarios (id),
    stream_key  TEXT NOT NULL,
    color       TEXT NOT NULL,
    sort_order  BIGINT NOT NULL,
    UNIQUE (scenario_id, stream_key)
);

CREATE TABLE phases (
    id        UUID PRIMARY KEY,
    stream_id UUID NOT NULL REFERENCES streams (id),
    phase_num BIGINT NOT NULL,
    name      TEXT NOT NULL,
    UNIQUE (stream_id, phase_num)
);

CREATE TABLE flow_definitions (
    id         UUID PRIMARY KEY,
    org_id     UUID NOT NULL REFERENCES orgs (id),
    name       TEXT NOT NULL,
    created_by UUID NOT NULL REFERENCES users (id),
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (org_id, name)
);

CREATE TABLE flow_versions (
    id            UUID PRIMARY KEY,
    definition_id UUID NOT NULL REFERENCES flow_definitions (id),
    version_num   BIGINT NOT NULL,
    status        TEXT NOT NULL,
    graph_schema  TEXT NOT NULL,
    -- People as they are called: on an embedded store one OS user is all of them.
    author        TEXT NOT NULL,
    review_notes  TEXT,
    reviewed_by   TEXT,
    published_by  TEXT,
    -- Whether somebody else than the author agreed, as far as a daemon can tell.
    separate      BOOLEAN,
    version       BIGINT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    published_at  TIMESTAMPTZ,
    UNIQUE (definition_id, version_num)
);

-- The gates of a version, written when it is published.
CREATE TABLE qc_gates (
    id              UUID PRIMARY KEY,
    org_id          UUID NOT NULL REFERENCES orgs (id),
    flow_version_id UUID NOT NULL REFERENCES flow_versions (id),
    gate_key        TEXT NOT NULL,
    step_index      BIGINT NOT NULL CHECK (step_index BETWEEN 0 AND 10),
    gate_type       TEXT NOT NULL,
    is_ccp          BOOLEAN NOT NULL,
    blocking        BOOLEAN NOT NULL,
    checklist       JSONB NOT NULL,
    UNIQUE (flow_version_id, gate_key)
);

CREATE TABLE production_runs (
    id              UUID PRIMARY KEY,
    org_id          UUID NOT NULL REFERENCES orgs (id),
    run_code        TEXT NOT NULL,
    status          TEXT NOT NULL,
    flow_version_id UUID REFERENCES flow_versions (id),
    created_at      TIMESTAMPTZ NOT NULL,
    UNIQUE (org_id, run_code)
);

CREATE TABLE lots (
    id         UUID PRIMARY KEY,
    org_id     UUID NOT NULL REFERENCES orgs (id),
    lot_code   TEXT NOT NULL,
    lot_type   TEXT NOT NULL,
    weight_mg  BIGINT CHECK (weight_mg >= 0),
    temp_mc    BIGINT,
    step_index BIGINT NOT NULL CHECK (step_index BETWEEN 0 AND 10),
    status     TEXT NOT NULL,
    -- How its last hold was resolved.
    resolution TEXT,
    run_id     UUID REFERENCES production_runs (id),
    phase_num  BIGINT,
    -- What it came from where nobody registered it: a delivered transfer's code.
    origin     TEXT,
    version    BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (org_id, lot_code)
);
CREATE INDEX lots_by_org ON lots (org_id, id);
CREATE INDEX lots_by_run ON lots (run_id);

CREATE TABLE lot_genealogy (
    parent_id UUID NOT NULL REFERENCES lots (id),
    child_id  UUID NOT NULL REFERENCES lots (id),
    -- How much of the parent went into the child, where that is known.
    weight_mg BIGINT CHECK (weight_mg >= 0),
    PRIMARY KEY (parent_id, child_id),
    CHECK (parent_id <> child_id)
);
CREATE INDEX lot_genealogy_by_child ON lot_genealogy (child_id, parent_id);

CREATE TABLE qc_decisions (
    id         UUID PRIMARY KEY,
    org_id     UUID NOT NULL REFERENCES orgs (id),
    gate_id    UUID NOT NULL REFERENCES qc_gates (id),
    lot_id     UUID NOT NULL REFERENCES lots (id),
    run_id     UUID REFERENCES production_runs (id),
    decision   TEXT NOT NULL,
    notes      TEXT,
    answers    JSONB NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at TIMESTAMPTZ NOT NULL,
    -- One decision of one lot at one gate.
    UNIQUE (gate_id, lot_id)
);
CREATE INDEX qc_decisions_by_lot ON qc_decisions (lot_id);
CREATE INDEX qc_decisions_by_run ON qc_decisions (run_id, gate_id);
CREATE INDEX qc_decisions_by_org ON qc_decisions (org_id, id);

-- How far consumers of the ledger have come.
CREATE TABLE lineage_cursors (
    org_id   UUID PRIMARY KEY REFERENCES orgs (id),
    position BIGINT NOT NULL
);

-- A version's graph changes in DRAFT only. Once published nothing of it changes but
-- that it is deprecated, and its gates never. Whoever writes.
-- sqlite:
CREATE TRIGGER flow_versions_graph_stands BEFORE UPDATE ON flow_versions
WHEN OLD.status <> 'DRAFT' AND (NEW.graph_schema IS NOT OLD.graph_schema
    OR NEW.id IS NOT OLD.id OR NEW.definition_id IS NOT OLD.definition_id
    OR NEW.version_num IS NOT OLD.version_num OR NEW.author IS NOT OLD.author
    OR NEW.created_at IS NOT OLD.created_at OR NEW.status = 'DRAFT')
BEGIN SELECT RAISE(ABORT, 'a flow version that left DRAFT does not change'); END;
CREATE TRIGGER flow_versions_published_stands BEFORE UPDATE ON flow_versions
WHEN OLD.status IN ('PUBLISHED', 'DEPRECATED') AND (NEW.review_notes IS NOT OLD.review_notes
    OR NEW.reviewed_by IS NOT OLD.reviewed_by OR NEW.published_by IS NOT OLD.published_by
    OR NEW.separate IS NOT OLD.separate OR NEW.published_at IS NOT OLD.published_at
    OR (NEW.status <> OLD.status AND NEW.status <> 'DEPRECATED'))
BEGIN SELECT RAISE(ABORT, 'a published flow version does not change'); END;
CREATE TRIGGER flow_versions_no_delete BEFORE DELETE ON flow_versions
WHEN OLD.status <> 'DRAFT'
BEGIN SELECT RAISE(ABORT, 'a flow version that left DRAFT is not deleted'); END;
CREATE TRIGGER qc_gates_no_update BEFORE UPDATE ON qc_gates
BEGIN SELECT RAISE(ABORT, 'the gates of a published flow version do not change'); END;
CREATE TRIGGER qc_gates_no_delete BEFORE DELETE ON qc_gates
BEGIN SELECT RAISE(ABORT, 'the gates of a published flow version do not change'); END;
CREATE TRIGGER qc_decisions_no_update BEFORE UPDATE ON qc_decisions
BEGIN SELECT RAISE(ABORT, 'a decision at a gate does not change'); END;
CREATE TRIGGER qc_decisions_no_delete BEFORE DELETE ON qc_decisions
BEGIN SELECT RAISE(ABORT, 'a decision at a gate does not change'); END;
-- end
-- postgres:
CREATE FUNCTION flow_versions_stand() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'flow versions are not deleted';
    END IF;
    IF TG_OP = 'DELETE' THEN
        IF OLD.status <> 'DRAFT' THEN
            RAISE EXCEPTION 'a flow version that left DRAFT is not deleted';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.status <> 'DRAFT' AND (NEW.graph_schema IS DISTINCT FROM OLD.graph_schema
        OR NEW.id IS DISTINCT FROM OLD.id OR NEW.definition_id IS DISTINCT FROM OLD.definition_id
        OR NEW.version_num IS DISTINCT FROM OLD.version_num OR NEW.author IS DISTINCT FROM OLD.author
        OR NEW.created_at IS DISTINCT FROM OLD.created_at OR NEW.status = 'DRAFT') THEN
        RAISE EXCEPTION 'a flow version that left DRAFT does not change';
    END IF;
    IF OLD.status IN ('PUBLISHED', 'DEPRECATED') AND (NEW.review_notes IS DISTINCT FROM OLD.review_notes
        OR NEW.reviewed_by IS DISTINCT FROM OLD.reviewed_by
        OR NEW.published_by IS DISTINCT FROM OLD.published_by
        OR NEW.separate IS DISTINCT FROM OLD.separate
        OR NEW.published_at IS DISTINCT FROM OLD.published_at
        OR (NEW.status <> OLD.status AND NEW.status <> 'DEPRECATED')) THEN
        RAISE EXCEPTION 'a published flow version does not change';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER flow_versions_stand BEFORE UPDATE OR DELETE ON flow_versions
    FOR EACH ROW EXECUTE FUNCTION flow_versions_stand();
CREATE TRIGGER flow_versions_no_truncate BEFORE TRUNCATE ON flow_versions
    FOR EACH STATEMENT EXECUTE FUNCTION flow_versions_stand();
CREATE FUNCTION qc_stands() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'gates of published flow versions and decisions at them do not change'; END $$;
CREATE TRIGGER qc_gates_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON qc_gates
    FOR EACH STATEMENT EXECUTE FUNCTION qc_stands();
CREATE TRIGGER qc_decisions_stand BEFORE UPDATE OR DELETE OR TRUNCATE ON qc_decisions
    FOR EACH STATEMENT EXECUTE FUNCTION qc_stands();
-- end
