-- Grants that begin later, and what is forgotten by its age.

ALTER TABLE role_grants ADD COLUMN valid_from TIMESTAMPTZ;

CREATE INDEX idempotency_by_age ON idempotency (created_at);
CREATE INDEX notifications_by_age ON notifications (at);
CREATE INDEX jobs_by_end ON jobs (finished_at);
