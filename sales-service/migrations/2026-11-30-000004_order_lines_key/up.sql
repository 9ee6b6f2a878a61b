-- Lines are found by their order, or as the oldest that wait: the index by id alone served nobody else.
ALTER TABLE order_lines DROP CONSTRAINT order_lines_pkey;
ALTER TABLE order_lines ADD PRIMARY KEY (order_id, id);
DROP INDEX order_lines_order_id;
