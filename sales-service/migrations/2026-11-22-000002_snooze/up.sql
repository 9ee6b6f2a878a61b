-- An operator wants nothing ordered by itself until then.
ALTER TABLE stock ADD COLUMN snoozed_until timestamptz;
