-- Lead time, one a request: from `accepted_at`, the end of the earliest call that was accepted (by the
-- factory `accepted_by`), to `received_at`, when the goods that made it complete were booked. Either may
-- be known first.
ALTER TABLE production_requests
    ADD COLUMN accepted_at timestamptz,
    ADD COLUMN accepted_by text,
    ADD COLUMN received_at timestamptz,
    ADD CONSTRAINT production_requests_accepted CHECK ((accepted_at IS NULL) = (accepted_by IS NULL));
UPDATE production_requests p SET accepted_at = call.ended_at, accepted_by = call.factory_id
    FROM (
        SELECT DISTINCT ON (request_id) request_id, factory_id,
            started_at + duration_ms * interval '1 millisecond' AS ended_at
        FROM production_attempts WHERE outcome = 'accepted' AND duration_ms IS NOT NULL
        ORDER BY request_id, ended_at
    ) AS call WHERE call.request_id = p.id;
UPDATE production_requests p SET received_at =
    (SELECT max(r.received_at) FROM receipts r WHERE r.request_id = p.id AND coalesce(r.sku, p.sku) = p.sku)
    WHERE received >= quantity;
CREATE INDEX production_requests_lead_times ON production_requests (accepted_by, received_at DESC, id DESC)
    WHERE accepted_at IS NOT NULL AND received_at IS NOT NULL;

-- What was measured, and when that last changed. `measurements` tells how many of a factory's revisions
-- are measurements: the others are operators' changes, and count the version that If-Match names.
ALTER TABLE factories
    ADD COLUMN lead_time_p50_s bigint CHECK (lead_time_p50_s > 0),
    ADD COLUMN lead_time_p90_s bigint CHECK (lead_time_p90_s >= lead_time_p50_s),
    ADD COLUMN measurements bigint NOT NULL DEFAULT 0,
    ADD COLUMN measured_at timestamptz,
    ADD CONSTRAINT factories_measured CHECK ((lead_time_p50_s IS NULL) = (lead_time_p90_s IS NULL));
