-- An order keeps its request's Idempotency-Key itself: one row and two index entries less. The answer is kept only
-- where it cannot be written again from the order.
ALTER TABLE orders
    ADD COLUMN key_hash bytea,
    ADD COLUMN fingerprint bytea,
    ADD COLUMN answer_status smallint,
    ADD COLUMN answer text;

UPDATE orders SET
    key_hash = sha256(convert_to(kept.endpoint || E'\n' || kept.caller || E'\n' || kept.key, 'UTF8')),
    fingerprint = kept.fingerprint, answer_status = kept.status, answer = kept.body
FROM idempotency_keys AS kept
WHERE kept.endpoint = 'POST /api/v1/orders'
    AND orders.id = coalesce(kept.body::jsonb ->> 'id', kept.body::jsonb ->> 'order_id')::uuid;

CREATE UNIQUE INDEX orders_key ON orders (key_hash) WHERE key_hash IS NOT NULL;

-- The release before keeps keys of orders elsewhere. While it runs beside this one, an order that either has taken
-- must not be taken again by the other.
CREATE FUNCTION keep_key_on_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orders SET
        key_hash = sha256(convert_to(NEW.endpoint || E'\n' || NEW.caller || E'\n' || NEW.key, 'UTF8')),
        fingerprint = NEW.fingerprint, answer_status = NEW.status, answer = NEW.body
    WHERE id = coalesce(NEW.body::jsonb ->> 'id', NEW.body::jsonb ->> 'order_id')::uuid;
    RETURN NULL;
END
$$;
CREATE TRIGGER idempotency_keys_of_orders AFTER INSERT ON idempotency_keys FOR EACH ROW
    WHEN (NEW.endpoint = 'POST /api/v1/orders') EXECUTE FUNCTION keep_key_on_order();
