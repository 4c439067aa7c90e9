-- Which transfers go first, and which stand still by somebody's wish.

ALTER TABLE transfers ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal';
ALTER TABLE transfers ADD COLUMN paused JSONB;
