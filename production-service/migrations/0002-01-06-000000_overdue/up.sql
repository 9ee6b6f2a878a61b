-- The latest acceptance: an overdue request that was asked for again has its lead time once more. The release
-- before kept the earliest one alone.
ALTER TABLE production_requests ADD COLUMN last_accepted_at timestamptz;
UPDATE production_requests SET last_accepted_at = coalesce(accepted_at, updated_at)
    WHERE accepted_at IS NOT NULL OR status IN ('accepted', 'partly_received', 'received');
CREATE INDEX production_requests_undelivered ON production_requests (last_accepted_at)
    WHERE status = 'accepted' AND NOT overdue;
