DROP INDEX production_requests_undelivered;
ALTER TABLE production_requests DROP COLUMN last_accepted_at;
