ALTER TABLE production_requests DROP COLUMN fallback_from, DROP COLUMN outcome_unknown;
