-- `outcome_unknown`: of some call nobody knows whether the factory took the request, so no other factory
-- may be asked. The release before called a call without an answer 'retry'. `fallback_from`: the factory
-- that refused before the one of `factory_id` was asked.
ALTER TABLE production_requests
    ADD COLUMN outcome_unknown boolean NOT NULL DEFAULT false,
    ADD COLUMN fallback_from text CHECK (fallback_from <> factory_id);
UPDATE production_requests p SET outcome_unknown = true WHERE EXISTS (
    SELECT FROM production_attempts a WHERE a.request_id = p.id AND (a.outcome = 'unknown'
        OR (a.outcome = 'retry' AND (a.status IS NULL OR a.status IN (502, 504)))));
