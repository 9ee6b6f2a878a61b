-- Which stretches of the outbox a relay has in hand, and until when. A claim is one narrow row a window: the
-- events themselves are written once and deleted once, however often they are claimed.
CREATE TABLE outbox_claims (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_id bigint NOT NULL,
    last_id  bigint NOT NULL,
    until    timestamptz NOT NULL
);
CREATE INDEX outbox_claims_until ON outbox_claims (until);
