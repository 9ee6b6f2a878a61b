-- What `outcome_reason` is the reason of, and when that was: what everybody was told last. Null: nothing was told
-- yet, or by the release before.
ALTER TABLE production_requests
    ADD COLUMN last_outcome text CHECK (last_outcome IN ('accepted', 'dead_lettered', 'refused', 'cancelled', 'overdue')),
    ADD COLUMN outcome_at timestamptz;
