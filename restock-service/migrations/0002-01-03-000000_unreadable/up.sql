-- Bodies of which nothing can be read are kept as they came, and repetitions are counted.
ALTER TABLE quarantine
    ADD COLUMN body_bytes bytea,
    ADD COLUMN times_received bigint NOT NULL DEFAULT 1,
    ADD COLUMN last_received_at timestamptz;
-- What waits for a person is counted again and again.
CREATE INDEX quarantine_waiting ON quarantine (id) WHERE status = 'waiting';
-- A named delivery counts once for its request, whichever attempt's token it comes with.
CREATE INDEX deliveries_named ON deliveries (request_id, delivery_id) WHERE delivery_id IS NOT NULL;
