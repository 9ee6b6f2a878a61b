ALTER TABLE products DROP COLUMN max_per_order;
ALTER TABLE products DROP CONSTRAINT products_shortage_check;
UPDATE products SET shortage = 'reject' WHERE shortage = 'choice';
ALTER TABLE products ADD CONSTRAINT products_shortage_check CHECK (shortage IN ('reject', 'backorder'));
