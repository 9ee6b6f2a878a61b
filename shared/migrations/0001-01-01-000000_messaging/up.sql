-- Events (and dead letters) on their way to the broker. A row is written in the transaction of the
-- change it tells of, and deleted when the broker has confirmed it.
CREATE TABLE outbox (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id          text NOT NULL,
    exchange            text NOT NULL,
    routing_key         text NOT NULL,
    content_type        text NOT NULL,
    headers             jsonb NOT NULL,
    body                bytea NOT NULL,
    subscriber_required boolean NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    not_before          timestamptz NOT NULL DEFAULT now(),
    attempts            integer NOT NULL DEFAULT 0,
    last_error          text
);
CREATE INDEX outbox_due ON outbox (not_before, id);

-- Messages whose handler failed, waiting for the next try. The broker has been told that they are ours.
CREATE TABLE message_retries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue           text NOT NULL,
    message_id      text NOT NULL,
    headers         jsonb NOT NULL,
    body            bytea NOT NULL,
    attempts        integer NOT NULL CHECK (attempts >= 1),
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL,
    last_error      text NOT NULL
);
CREATE INDEX message_retries_due ON message_retries (next_attempt_at);

-- The first answer to each creating POST, so that a repeated one gets it again.
CREATE TABLE idempotency_keys (
    endpoint    text NOT NULL,
    caller      text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    status      smallint NOT NULL,
    body        text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (endpoint, caller, key)
);
CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);

-- Who did what, when, to what, why.
CREATE TABLE audit_log (
    id       uuid PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text NOT NULL,
    action   text NOT NULL,
    subject  text NOT NULL,
    reason   text,
    detail   jsonb NOT NULL,
    trace_id text NOT NULL
);
