-- The relay goes through the outbox by ids; nobody looks for what is due by its time any more.
DROP INDEX outbox_due;
