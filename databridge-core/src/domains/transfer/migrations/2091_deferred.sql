-- Uploads whose length is told later: until then `length_bytes` is what has come.
ALTER TABLE transfer_uploads ADD COLUMN deferred BOOLEAN NOT NULL DEFAULT FALSE;
