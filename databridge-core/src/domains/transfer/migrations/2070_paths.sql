-- Where a delivery belongs below production's root, decided when its transfer is made.
-- What was made before belongs where it always did. `path_key` is the same for paths
-- that some file system takes for one; whoever has it may stand there, and it is given
-- back when nothing of the transfer is left in production.
ALTER TABLE transfers ADD COLUMN path TEXT NOT NULL DEFAULT '';
ALTER TABLE transfers ADD COLUMN metadata JSONB NOT NULL DEFAULT '{}';
-- sqlite:
ALTER TABLE transfers ADD COLUMN path_key TEXT;
-- end
-- postgres:
ALTER TABLE transfers ADD COLUMN path_key TEXT COLLATE "C";
-- end
UPDATE transfers SET path = project || '/' || category || '/' || code;
UPDATE transfers SET path_key = LOWER(path) WHERE state <> 'cancelled';
CREATE UNIQUE INDEX transfers_by_path ON transfers (path_key);
