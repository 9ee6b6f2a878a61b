-- Keys that were kept on orders only are lost: a digest does not tell the key.
DROP TRIGGER idempotency_keys_of_orders ON idempotency_keys;
DROP FUNCTION keep_key_on_order();
DROP INDEX orders_key;
ALTER TABLE orders
    DROP COLUMN answer,
    DROP COLUMN answer_status,
    DROP COLUMN fingerprint,
    DROP COLUMN key_hash;
