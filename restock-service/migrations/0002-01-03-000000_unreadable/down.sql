-- Bytes that came are never thrown away: once some are kept, there is no way back.
DO $$
BEGIN
    IF EXISTS (SELECT FROM quarantine WHERE reason = 'unreadable-body') THEN
        RAISE EXCEPTION 'unreadable bodies are in the quarantine: the tables before cannot keep them';
    END IF;
END
$$;

DROP INDEX deliveries_named;
DROP INDEX quarantine_waiting;
ALTER TABLE quarantine
    DROP COLUMN body_bytes,
    DROP COLUMN times_received,
    DROP COLUMN last_received_at;
