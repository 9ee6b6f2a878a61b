-- One row once this installation has had all that it needs of the broker: from then on a broker that is
-- away, or a queue that was deleted, is an outage that is sat out, not a setup that is not finished yet.
CREATE TABLE installation (
    only_row         boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    topology_seen_at timestamptz NOT NULL DEFAULT now()
);
-- An installation of before this migration has been at work: it has written down an event, a letter or an act.
INSERT INTO installation
SELECT true, now()
WHERE pg_sequence_last_value(pg_get_serial_sequence('outbox', 'id')::regclass) IS NOT NULL
   OR EXISTS (SELECT 1 FROM dead_letters)
   OR EXISTS (SELECT 1 FROM audit_log);
