ALTER TABLE stock DROP COLUMN snoozed_until;
