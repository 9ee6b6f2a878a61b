-- Old refused orders are found without reading all the others.
CREATE INDEX orders_refused ON orders (created_at) WHERE status = 'rejected';
