-- One row once this installation has had all that it needs of the broker: from then on a broker that is
-- away, or a queue that was deleted, is an outage that is sat out, not a setup that is not finished yet.
CREATE TABLE installation (
    only_row         boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    topology_seen_at timestamptz NOT NULL DEFAULT now()
);
-- An installation of before this migration has been at work.
INSERT INTO installation SELECT true, now() WHERE EXISTS (SELECT 1 FROM audit_log);
