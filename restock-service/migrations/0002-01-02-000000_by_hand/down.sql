-- What operators did is never thrown away: once they did something, there is no way back.
DO $$
BEGIN
    IF EXISTS (SELECT FROM receipts WHERE actor IS NOT NULL)
        OR EXISTS (SELECT FROM quarantine WHERE status <> 'waiting') THEN
        RAISE EXCEPTION 'operators have booked or judged by hand: the tables before cannot tell of it';
    END IF;
END
$$;

ALTER TABLE quarantine
    DROP CONSTRAINT quarantine_decided,
    DROP CONSTRAINT quarantine_receipt,
    DROP COLUMN receipt_id,
    DROP COLUMN decision_reason,
    DROP COLUMN decided_at,
    DROP COLUMN decided_by;

ALTER TABLE receipts
    DROP CONSTRAINT receipts_token_or_actor,
    DROP CONSTRAINT receipts_actor_has_reason,
    DROP COLUMN reason,
    DROP COLUMN actor,
    ALTER COLUMN jti SET NOT NULL;
