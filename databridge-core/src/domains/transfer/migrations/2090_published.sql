-- Which folder was published, so that a recall knows whether it still stands there.
ALTER TABLE transfers ADD COLUMN payload_inode BIGINT;
