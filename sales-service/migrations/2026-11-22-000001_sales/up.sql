CREATE TABLE products (
    sku             text PRIMARY KEY,
    name            text NOT NULL,
    price           bigint NOT NULL CHECK (price >= 0),
    factory_id      text NOT NULL,
    on_sale         boolean NOT NULL,
    reorder_point   bigint NOT NULL CHECK (reorder_point >= 0),
    order_up_to     bigint NOT NULL CHECK (order_up_to > reorder_point),
    lot_size        bigint NOT NULL CHECK (lot_size >= 1),
    mode            text NOT NULL CHECK (mode IN ('auto', 'manual', 'off')),
    shortage        text NOT NULL CHECK (shortage IN ('reject', 'backorder')),
    max_backordered bigint CHECK (max_backordered >= 0),
    version         bigint NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- The figures of a product. Whoever changes them holds the row's lock and writes the ledger entry
-- in the same transaction; rows are locked in the order of their SKU.
CREATE TABLE stock (
    sku                  text PRIMARY KEY REFERENCES products (sku),
    on_hand              bigint NOT NULL DEFAULT 0 CHECK (on_hand >= 0),
    backordered          bigint NOT NULL DEFAULT 0 CHECK (backordered >= 0),
    on_order             bigint NOT NULL DEFAULT 0 CHECK (on_order >= 0),
    -- After a refusal nothing is ordered by itself until then; each refusal in a row doubles the pause.
    replenish_not_before timestamptz,
    refusals_in_a_row    integer NOT NULL DEFAULT 0,
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stock_waits_or_is_there CHECK (on_hand = 0 OR backordered = 0)
);

-- The ledger: every change of on hand.
CREATE TABLE stock_movements (
    id        uuid PRIMARY KEY,
    -- Given out under the lock of the product's figures: within one product it is the order of changes,
    -- whichever replica wrote them.
    entry     bigint GENERATED ALWAYS AS IDENTITY,
    sku       text NOT NULL REFERENCES products (sku),
    cause     text NOT NULL,
    delta     bigint NOT NULL CHECK (delta <> 0),
    before    bigint NOT NULL CHECK (before >= 0),
    after     bigint NOT NULL CHECK (after >= 0),
    reference text NOT NULL,
    actor     text NOT NULL,
    note      text,
    at        timestamptz NOT NULL,
    CONSTRAINT stock_movements_add_up CHECK (before + delta = after)
);
CREATE UNIQUE INDEX stock_movements_sku ON stock_movements (sku, entry);

CREATE TABLE orders (
    id          uuid PRIMARY KEY,
    status      text NOT NULL CHECK (status IN ('confirmed', 'backordered', 'rejected', 'cancelled')),
    customer    text,
    total       bigint NOT NULL,
    traceparent text NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE TABLE order_lines (
    -- Rises in the order in which lines of one product were decided.
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id   uuid NOT NULL REFERENCES orders (id),
    sku        text NOT NULL REFERENCES products (sku),
    quantity   bigint NOT NULL CHECK (quantity > 0),
    filled     bigint NOT NULL CHECK (filled BETWEEN 0 AND quantity),
    waiting    bigint NOT NULL CHECK (waiting >= 0 AND filled + waiting <= quantity),
    unit_price bigint NOT NULL
);
CREATE INDEX order_lines_order_id ON order_lines (order_id);
CREATE INDEX order_lines_waiting ON order_lines (sku, id) WHERE waiting > 0;

CREATE TABLE replenishments (
    id          uuid PRIMARY KEY,
    sku         text NOT NULL REFERENCES products (sku),
    factory_id  text NOT NULL,
    quantity    bigint NOT NULL CHECK (quantity > 0),
    received    bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
    status      text NOT NULL CHECK (status IN
        ('proposed', 'open', 'stalled', 'complete', 'closed_short', 'refused', 'cancelled')),
    reason      text NOT NULL,
    explanation text NOT NULL,
    -- The last change of the production request that was applied.
    revision    bigint NOT NULL DEFAULT 0,
    traceparent text NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX replenishments_sku ON replenishments (sku, id);
CREATE INDEX replenishments_under_way ON replenishments (sku) WHERE status IN ('proposed', 'open', 'stalled');

-- Which replenishments an order caused, or waits for.
CREATE TABLE order_replenishments (
    order_id         uuid NOT NULL REFERENCES orders (id),
    replenishment_id uuid NOT NULL REFERENCES replenishments (id),
    PRIMARY KEY (order_id, replenishment_id)
);

-- Goods receipts that stock has been raised by: each once, however often it is told.
CREATE TABLE receipts_applied (
    receipt_id  uuid PRIMARY KEY,
    request_id  uuid NOT NULL,
    sku         text NOT NULL REFERENCES products (sku),
    quantity    bigint NOT NULL CHECK (quantity > 0),
    received_at timestamptz NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
);

-- What sales knows of factories, for the time when goods are back.
CREATE TABLE factories (
    factory_id      text PRIMARY KEY,
    name            text NOT NULL,
    enabled         boolean NOT NULL,
    lead_time_s     bigint NOT NULL,
    lead_time_p50_s bigint,
    lead_time_p90_s bigint,
    revision        bigint NOT NULL
);
