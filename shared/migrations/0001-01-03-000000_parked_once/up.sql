-- A message that is delivered again, because its acknowledgement was lost, is the one that is kept already.
-- Null: kept by the release before.
ALTER TABLE message_retries ADD COLUMN identity bytea UNIQUE;
