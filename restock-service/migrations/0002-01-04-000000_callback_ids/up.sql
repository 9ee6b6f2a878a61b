-- The callback that was counted last on an entry: when the answer to a COMMIT was lost, the callback is tried again and
-- must not be counted twice. (The id of a delivery is that of its callback.) Earlier programs leave it empty.
ALTER TABLE quarantine ADD COLUMN last_callback_id uuid;
