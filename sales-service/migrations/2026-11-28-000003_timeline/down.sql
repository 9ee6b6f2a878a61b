ALTER TABLE replenishments DROP COLUMN status_since;
DROP INDEX receipts_applied_request_id;
DROP INDEX stock_movements_reference;
