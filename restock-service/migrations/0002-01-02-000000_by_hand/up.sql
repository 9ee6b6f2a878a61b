-- Receipts that an operator booked: `actor` and `reason` say who and why (a callback's receipt has
-- neither). With `jti` it was accepted out of the quarantine; without, no callback ever told of it.
ALTER TABLE receipts
    ALTER COLUMN jti DROP NOT NULL,
    ADD COLUMN actor text,
    ADD COLUMN reason text,
    ADD CONSTRAINT receipts_actor_has_reason CHECK ((actor IS NULL) = (reason IS NULL)),
    ADD CONSTRAINT receipts_token_or_actor CHECK (jti IS NOT NULL OR actor IS NOT NULL);

-- Who judged an entry, when, why; an accepted one became exactly one receipt.
ALTER TABLE quarantine
    ADD COLUMN decided_by text,
    ADD COLUMN decided_at timestamptz,
    ADD COLUMN decision_reason text,
    ADD COLUMN receipt_id uuid REFERENCES receipts (id),
    ADD CONSTRAINT quarantine_receipt UNIQUE (receipt_id),
    ADD CONSTRAINT quarantine_decided CHECK (
        (status <> 'waiting') = (decided_by IS NOT NULL)
        AND (status <> 'waiting') = (decided_at IS NOT NULL)
        AND (status <> 'waiting') = (decision_reason IS NOT NULL)
        AND (status = 'accepted') = (receipt_id IS NOT NULL)
    );
