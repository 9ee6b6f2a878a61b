ALTER TABLE message_retries DROP COLUMN identity;
