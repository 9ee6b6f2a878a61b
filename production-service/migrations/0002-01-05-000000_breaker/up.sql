-- The circuit breaker of each factory that was ever called; none is closed. Written by whoever claims
-- requests, so it holds for all replicas.
CREATE TABLE factory_breakers (
    factory_id        text PRIMARY KEY REFERENCES factories (id) ON DELETE CASCADE,
    position          text NOT NULL CHECK (position IN ('closed', 'open', 'half_open')),
    failures_in_a_row bigint NOT NULL,
    window_began_at   timestamptz NOT NULL,
    window_calls      bigint NOT NULL,
    window_failures   bigint NOT NULL,
    opened_at         timestamptz,
    probe_at          timestamptz,
    failed_probes     bigint NOT NULL,
    failed_at         timestamptz,
    last_error        text,
    CONSTRAINT factory_breakers_opened CHECK ((position = 'closed') = (opened_at IS NULL)),
    CONSTRAINT factory_breakers_probed CHECK ((position = 'closed') = (probe_at IS NULL))
);

-- `schedule_began_at`: a request that waits behind a breaker is given up by this. `has_died`: it is or was a
-- dead letter, perhaps without any call.
ALTER TABLE production_requests
    ADD COLUMN schedule_began_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN has_died boolean NOT NULL DEFAULT false;
UPDATE production_requests SET has_died = true WHERE status = 'dead_lettered' OR attempts_before_schedule > 0;

-- Calls of the last second, for factories with a rate.
CREATE INDEX production_attempts_started ON production_attempts (factory_id, started_at);
