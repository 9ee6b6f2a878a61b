-- The callback that wrote a delivery, and the last one that was counted on an entry: when the answer to a COMMIT was
-- lost, the callback is tried again and recognizes its own rows. Earlier programs leave both empty.
ALTER TABLE deliveries ADD COLUMN callback_id uuid;
ALTER TABLE quarantine ADD COLUMN last_callback_id uuid;
