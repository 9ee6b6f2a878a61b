-- Which replica publishes the outbox, and until when. The claims of the release before are dropped by the next one:
-- its replicas may still run beside this one, and then an event may be published twice.
CREATE TABLE relay_lease (
    id     integer PRIMARY KEY CHECK (id = 1),
    holder uuid NOT NULL,
    until  timestamptz NOT NULL
);
INSERT INTO relay_lease (id, holder, until) VALUES (1, gen_random_uuid(), '-infinity');
