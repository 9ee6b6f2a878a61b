ALTER TABLE factories DROP COLUMN not_before;
