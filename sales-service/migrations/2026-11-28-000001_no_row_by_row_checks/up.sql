-- A foreign key is checked row by row, and took half of the database's time for an order. Both ends of these are
-- written by one transaction, or are products, which are never deleted; the books look for rows that hang in the air.
ALTER TABLE order_lines
    DROP CONSTRAINT order_lines_order_id_fkey,
    DROP CONSTRAINT order_lines_sku_fkey;
ALTER TABLE stock_movements
    DROP CONSTRAINT stock_movements_sku_fkey;
ALTER TABLE order_replenishments
    DROP CONSTRAINT order_replenishments_order_id_fkey,
    DROP CONSTRAINT order_replenishments_replenishment_id_fkey;
