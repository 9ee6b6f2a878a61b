-- A dead letter that is redriven goes to the retries of its own service, not through the broker. Zero: it has not been
-- tried since.
ALTER TABLE message_retries DROP CONSTRAINT message_retries_attempts_check;
ALTER TABLE message_retries ADD CONSTRAINT message_retries_attempts CHECK (attempts >= 0);
ALTER TABLE message_retries ADD COLUMN dead_letter_id uuid;
-- One look for what is due next, queue by queue.
CREATE INDEX message_retries_next ON message_retries (queue, next_attempt_at);
DROP INDEX message_retries_due;
-- What tells causes apart that read alike.
ALTER TABLE dead_letters ADD COLUMN http_status smallint;
ALTER TABLE dead_letters ADD COLUMN factory_id text;
