DROP INDEX orders_refused;
