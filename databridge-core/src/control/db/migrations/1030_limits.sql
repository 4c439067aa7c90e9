-- Requests counted by the minute, for all hosts together. Nothing is lost with it, so
-- it is kept out of the write-ahead log. SQLite has one daemon, which counts in memory.
-- sqlite:
SELECT 1;
-- end
-- postgres:
CREATE UNLOGGED TABLE request_windows (
    key    TEXT PRIMARY KEY,
    minute BIGINT NOT NULL,
    hits   BIGINT NOT NULL
);
-- end
