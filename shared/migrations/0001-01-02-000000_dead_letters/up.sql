-- Messages that need a person, drained from the broker's `<queue>.dlq`. One row a message: one that
-- dies again after a redrive is the same letter.
CREATE TABLE dead_letters (
    id              uuid PRIMARY KEY,
    queue           text NOT NULL,
    message_id      text NOT NULL,
    body_digest     bytea NOT NULL,
    status          text NOT NULL DEFAULT 'waiting'
                    CHECK (status IN ('waiting', 'redriving', 'processed', 'discarded')),
    reason          text NOT NULL,
    error           text NOT NULL,
    "group"         text NOT NULL,
    cause           text NOT NULL,
    attempts        bigint NOT NULL,
    content_type    text NOT NULL,
    headers         jsonb NOT NULL,
    body            bytea NOT NULL,
    trace_id        text,
    first_failed_at timestamptz NOT NULL,
    last_failed_at  timestamptz NOT NULL,
    settled_at      timestamptz,
    UNIQUE (queue, message_id, body_digest)
);
CREATE INDEX dead_letters_waiting ON dead_letters (queue, "group", id) WHERE status = 'waiting';
CREATE INDEX dead_letters_settled ON dead_letters (settled_at) WHERE settled_at IS NOT NULL;

-- A redrive is a job: its letters are sent at its rate, by whichever replica claims the next few.
CREATE TABLE redrives (
    id           uuid PRIMARY KEY,
    actor        text NOT NULL,
    rate_per_s   double precision NOT NULL CHECK (rate_per_s > 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    next_send_at timestamptz NOT NULL DEFAULT now(),
    is_sent      boolean NOT NULL DEFAULT false
);
CREATE INDEX redrives_unsent ON redrives (next_send_at) WHERE NOT is_sent;

CREATE TABLE redrive_letters (
    redrive_id     uuid NOT NULL REFERENCES redrives ON DELETE CASCADE,
    dead_letter_id uuid NOT NULL REFERENCES dead_letters ON DELETE CASCADE,
    outcome        text NOT NULL DEFAULT 'queued'
                   CHECK (outcome IN ('queued', 'sent', 'processed', 'failed_again', 'discarded')),
    PRIMARY KEY (redrive_id, dead_letter_id)
);
CREATE INDEX redrive_letters_open ON redrive_letters (dead_letter_id) WHERE outcome IN ('queued', 'sent');
