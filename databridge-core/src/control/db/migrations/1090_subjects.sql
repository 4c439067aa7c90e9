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
DROP TRIGGER ledger_event_append_only ON ledger_event;
UPDATE ledger_event SET subject_code = body::json #>> '{subject,code}';
CREATE TRIGGER ledger_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_event
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only();
-- end

CREATE INDEX ledger_event_by_code ON ledger_event (subject_code, org_id);
