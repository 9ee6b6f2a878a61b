ALTER TABLE order_replenishments
    ADD CONSTRAINT order_replenishments_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id),
    ADD CONSTRAINT order_replenishments_replenishment_id_fkey FOREIGN KEY (replenishment_id) REFERENCES replenishments (id);
ALTER TABLE stock_movements
    ADD CONSTRAINT stock_movements_sku_fkey FOREIGN KEY (sku) REFERENCES products (sku);
ALTER TABLE order_lines
    ADD CONSTRAINT order_lines_order_id_fkey FOREIGN KEY (order_id) REFERENCES orders (id),
    ADD CONSTRAINT order_lines_sku_fkey FOREIGN KEY (sku) REFERENCES products (sku);
