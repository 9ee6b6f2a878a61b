ALTER TABLE factories
    DROP CONSTRAINT factories_measured,
    DROP COLUMN measured_at,
    DROP COLUMN measurements,
    DROP COLUMN lead_time_p90_s,
    DROP COLUMN lead_time_p50_s;

DROP INDEX production_requests_lead_times;
ALTER TABLE production_requests
    DROP CONSTRAINT production_requests_accepted,
    DROP COLUMN received_at,
    DROP COLUMN accepted_by,
    DROP COLUMN accepted_at;
