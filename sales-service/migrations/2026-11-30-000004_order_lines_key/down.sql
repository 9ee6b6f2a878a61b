CREATE INDEX order_lines_order_id ON order_lines (order_id);
ALTER TABLE order_lines DROP CONSTRAINT order_lines_pkey;
ALTER TABLE order_lines ADD PRIMARY KEY (id);
