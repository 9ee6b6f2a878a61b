CREATE INDEX outbox_due ON outbox (not_before, id);
