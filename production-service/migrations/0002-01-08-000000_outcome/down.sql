ALTER TABLE production_requests
    DROP COLUMN outcome_at,
    DROP COLUMN last_outcome;
