-- What a transfer is made from: codes that other domains may know.
ALTER TABLE transfers ADD COLUMN parents JSONB NOT NULL DEFAULT '[]';
