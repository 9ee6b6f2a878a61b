-- Production requests as restock-service knows them: from production.requested, or from the token of
-- a callback that came first. Its row is locked while a callback of the request is decided.
CREATE TABLE production_requests (
    id           uuid PRIMARY KEY,
    sku          text NOT NULL,
    factory_id   text NOT NULL,
    quantity     bigint NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    received     bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    requested_at timestamptz,
    cancelled_at timestamptz,
    traceparent  text,
    created_at   timestamptz NOT NULL DEFAULT now()
);

-- Goods that arrived. Never changed, never deleted.
CREATE TABLE receipts (
    id          uuid PRIMARY KEY,
    request_id  uuid NOT NULL REFERENCES production_requests (id),
    sku         text NOT NULL,
    quantity    bigint NOT NULL CHECK (quantity >= 1),
    factory_id  text NOT NULL,
    delivery_id text,
    jti         text NOT NULL,
    received_at timestamptz NOT NULL,
    traceparent text NOT NULL
);
CREATE INDEX receipts_request_id ON receipts (request_id);

-- The first delivery of each identity (a token and the factory's name for the delivery, or the token
-- alone), and what became of it: `received`, or the reason why it waits for a person.
CREATE TABLE deliveries (
    id                   uuid PRIMARY KEY,
    jti                  text NOT NULL,
    delivery_id          text,
    request_id           uuid NOT NULL REFERENCES production_requests (id),
    count                bigint NOT NULL CHECK (count BETWEEN 1 AND 1000000),
    outcome              text NOT NULL,
    receipt_id           uuid REFERENCES receipts (id),
    quantity_received    bigint NOT NULL CHECK (quantity_received >= 0),
    quantity_quarantined bigint NOT NULL CHECK (quantity_quarantined >= 0),
    completed            boolean NOT NULL,
    body                 text NOT NULL,
    created_at           timestamptz NOT NULL,
    CHECK ((outcome = 'received') = (receipt_id IS NOT NULL)),
    CONSTRAINT deliveries_identity UNIQUE NULLS NOT DISTINCT (jti, delivery_id)
);

-- What a person must judge. `fingerprint` is the digest of all that was judged of a delivery: the same
-- one told again makes no second entry. No text here holds a token.
CREATE TABLE quarantine (
    id uuid PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('waiting', 'accepted', 'discarded')),
    reason text NOT NULL,
    request_id uuid NOT NULL REFERENCES production_requests (id),
    jti text NOT NULL,
    delivery_id text,
    fingerprint bytea NOT NULL,
    sku text NOT NULL,
    factory_id text NOT NULL,
    quantity bigint,
    claimed_product text,
    claimed_factory text,
    body text NOT NULL,
    traceparent text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT quarantine_delivery UNIQUE (jti, fingerprint, reason)
);
CREATE INDEX quarantine_request_id ON quarantine (request_id);

-- Where each factory's callbacks may come from; an empty list allows all.
CREATE TABLE factories (
    id               text PRIMARY KEY,
    callback_sources text[] NOT NULL,
    revision         bigint NOT NULL
);
