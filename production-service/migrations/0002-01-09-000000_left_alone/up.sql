-- A factory that answers with Retry-After is left alone by all replicas until then.
ALTER TABLE factories ADD COLUMN not_before timestamptz;
