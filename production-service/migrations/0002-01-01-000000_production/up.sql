-- Factories, as operators describe them.
CREATE TABLE factories (
    id                  text PRIMARY KEY,
    name                text NOT NULL,
    base_url            text NOT NULL,
    requester           text NOT NULL,
    enabled             boolean NOT NULL,
    timeout_ms          integer NOT NULL CHECK (timeout_ms > 0),
    max_in_flight       integer NOT NULL CHECK (max_in_flight > 0),
    rate_per_s          double precision CHECK (rate_per_s > 0),
    lead_time_s         bigint NOT NULL CHECK (lead_time_s > 0),
    overdue_factor      double precision NOT NULL CHECK (overdue_factor >= 1),
    fallback_factory_id text CHECK (fallback_factory_id <> id),
    retry_schedule_ms   bigint[],
    callback_sources    text[] NOT NULL,
    revision            bigint NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);

-- One row for each production request, under the id of its replenishment. Its factory need not be
-- known. `attempts_before_schedule` tells where the retry schedule was begun (again); `lease_until`
-- when a call under way counts as lost; `event` is the message that asked for it, byte for byte:
-- it becomes the dead letter when no factory can be reached.
CREATE TABLE production_requests (
    id                       uuid PRIMARY KEY,
    sku                      text NOT NULL,
    factory_id               text NOT NULL,
    quantity                 bigint NOT NULL CHECK (quantity > 0),
    received                 bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    status                   text NOT NULL CHECK (status IN ('requested', 'sending', 'retrying', 'accepted',
                                 'partly_received', 'received', 'dead_lettered', 'refused', 'cancelled')),
    overdue                  boolean NOT NULL DEFAULT false,
    attempt_count            integer NOT NULL DEFAULT 0,
    attempts_before_schedule integer NOT NULL DEFAULT 0,
    next_attempt_at          timestamptz,
    lease_until              timestamptz,
    factory_job_id           text,
    revision                 bigint NOT NULL DEFAULT 0,
    reason                   text NOT NULL,
    outcome_reason           text,
    traceparent              text NOT NULL,
    event_id                 text NOT NULL,
    event                    bytea NOT NULL,
    requested_at             timestamptz NOT NULL,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT production_requests_planned CHECK ((status IN ('requested', 'retrying')) = (next_attempt_at IS NOT NULL)),
    CONSTRAINT production_requests_leased CHECK ((status = 'sending') = (lease_until IS NOT NULL))
);
CREATE INDEX production_requests_due ON production_requests (factory_id, next_attempt_at, id)
    WHERE next_attempt_at IS NOT NULL;
CREATE INDEX production_requests_sending ON production_requests (factory_id, lease_until) WHERE status = 'sending';
CREATE INDEX production_requests_status ON production_requests (status, id);
CREATE INDEX production_requests_factory ON production_requests (factory_id, id);
CREATE INDEX production_requests_sku ON production_requests (sku, id);

-- One row for each call to a factory, written before the call. `jti` is the id of its callback token;
-- the token itself is nowhere. While the call is under way `outcome` is null.
CREATE TABLE production_attempts (
    request_id  uuid NOT NULL REFERENCES production_requests (id) ON DELETE CASCADE,
    number      integer NOT NULL,
    factory_id  text NOT NULL,
    jti         text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    duration_ms bigint,
    status      integer,
    error       text,
    answer      text,
    outcome     text CHECK (outcome IN ('accepted', 'retry', 'refused', 'unknown')),
    trace_id    text NOT NULL,
    PRIMARY KEY (request_id, number),
    CONSTRAINT production_attempts_jti UNIQUE (jti)
);

-- Goods receipts that were applied, each once. One may come before its request does.
CREATE TABLE receipts (
    id          uuid PRIMARY KEY,
    request_id  uuid NOT NULL,
    quantity    bigint NOT NULL CHECK (quantity > 0),
    received_at timestamptz NOT NULL
);
CREATE INDEX receipts_request_id ON receipts (request_id);

-- Replenishments that were closed before their request came.
CREATE TABLE early_closings (
    request_id uuid PRIMARY KEY,
    reason     text NOT NULL,
    closed_at  timestamptz NOT NULL
);
