DROP INDEX production_attempts_started;
ALTER TABLE production_requests DROP COLUMN has_died, DROP COLUMN schedule_began_at;
DROP TABLE factory_breakers;
