-- The timeline of an order or a replenishment. Taking an order writes nothing for it: its sale is found by the
-- time within the ids of ledger entries, and only entries of other causes are in the index by reference.
CREATE INDEX stock_movements_reference ON stock_movements (reference) WHERE cause <> 'sale';
CREATE INDEX receipts_applied_request_id ON receipts_applied (request_id);
-- Since when a replenishment is in its status; null in a row of the release before.
ALTER TABLE replenishments ADD COLUMN status_since timestamptz;
