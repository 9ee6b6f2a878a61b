DROP TABLE audit_log;
DROP TABLE idempotency_keys;
DROP TABLE message_retries;
DROP TABLE outbox;
