ALTER TABLE quarantine DROP COLUMN last_callback_id;
ALTER TABLE deliveries DROP COLUMN callback_id;
