-- `choice`: an order waits only when it says so.
ALTER TABLE products DROP CONSTRAINT products_shortage_check;
ALTER TABLE products ADD CONSTRAINT products_shortage_check CHECK (shortage IN ('reject', 'backorder', 'choice'));
-- Most units of it in one order of a shopper; null for the bound of all products.
ALTER TABLE products ADD COLUMN max_per_order bigint CHECK (max_per_order BETWEEN 1 AND 1000000);
