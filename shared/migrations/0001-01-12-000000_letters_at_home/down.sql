ALTER TABLE dead_letters DROP COLUMN factory_id;
ALTER TABLE dead_letters DROP COLUMN http_status;
CREATE INDEX message_retries_due ON message_retries (next_attempt_at);
DROP INDEX message_retries_next;
DELETE FROM message_retries WHERE attempts = 0;
ALTER TABLE message_retries DROP COLUMN dead_letter_id;
ALTER TABLE message_retries DROP CONSTRAINT message_retries_attempts;
ALTER TABLE message_retries ADD CONSTRAINT message_retries_attempts_check CHECK (attempts >= 1);
