-- What a replenishment was decided on, and when it was ordered and accepted: the books are held to it,
-- and the lead time runs from there.
ALTER TABLE replenishments
    -- Given out under the lock of the product's figures: the order of decisions, whichever replica made them.
    ADD COLUMN entry bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN position_before bigint,
    ADD COLUMN on_order_before bigint,
    ADD COLUMN ordered_at timestamptz,
    ADD COLUMN accepted_at timestamptz;
UPDATE replenishments SET ordered_at = created_at WHERE status <> 'proposed';

ALTER TABLE products
    ADD CONSTRAINT products_order_up_to_max CHECK (order_up_to <= 1000000),
    ADD CONSTRAINT products_lot_size_max CHECK (lot_size <= 1000000),
    ADD CONSTRAINT products_max_backordered_max CHECK (max_backordered <= 1000000);
