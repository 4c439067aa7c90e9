-- What happened to one subject is asked for by its code, which stood only in the body.
-- (The hash is of the body alone: a column beside it proves nothing and hides nothing.)
ALTER TABLE ledger_event ADD COLUMN subject_code TEXT;

-- sqlite:
DROP TRIGGER ledger_event_no_update;
UPDATE ledger_event SET subject_code = json_extract(body, '$.subject.code')
    WHERE json_valid(body);
CREATE TRIGGER ledger_event_no_update BEFORE UPDATE ON ledger_event
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
-- end
-- postgres:
-- A body that cannot be read has no code, as above, and keeps no host from its start.
CREATE FUNCTION ledger_code_of(body TEXT) RETURNS TEXT LANGUAGE plpgsql AS
$$ BEGIN RETURN body::json #>> '{subject,code}'; EXCEPTION WHEN others THEN RETURN NULL; END $$;
DROP TRIGGER ledger_event_append_only ON ledger_event;
UPDATE ledger_event SET subject_code = ledger_code_of(body);
CREATE TRIGGER ledger_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_event
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only();
-- Hosts are updated one after the other: those that are not yet know no such column.
CREATE FUNCTION ledger_fill_code() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.subject_code := ledger_code_of(NEW.body); RETURN NEW; END $$;
CREATE TRIGGER ledger_event_code BEFORE INSERT ON ledger_event
    FOR EACH ROW WHEN (NEW.subject_code IS NULL) EXECUTE FUNCTION ledger_fill_code();
-- end

CREATE INDEX ledger_event_by_code ON ledger_event (subject_code, org_id);
