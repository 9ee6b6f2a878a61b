ALTER TABLE quarantine DROP COLUMN last_callback_id;
