-- Who took a delivery out of production again, why, and where it is kept; and the
-- signed statement of it.
ALTER TABLE transfers ADD COLUMN recall JSONB;
ALTER TABLE transfers ADD COLUMN recall_receipt TEXT;
