-- The optimistic lock of everything that is decided on a product's figures, and the revision of stock.changed.
-- It is raised with every change of the row. A statement that sets it itself says which version it leaves; every
-- other one, those of the release before among them, is given the next.
ALTER TABLE stock ADD COLUMN version bigint NOT NULL DEFAULT 1;
CREATE FUNCTION raise_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;
CREATE TRIGGER stock_version BEFORE UPDATE ON stock FOR EACH ROW
    WHEN (NEW.version = OLD.version) EXECUTE FUNCTION raise_version();

-- A decision depends on the policy, too.
CREATE FUNCTION raise_stock_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stock SET version = version + 1 WHERE sku = NEW.sku;
    RETURN NEW;
END
$$;
CREATE TRIGGER products_raise_stock_version AFTER UPDATE ON products FOR EACH ROW
    EXECUTE FUNCTION raise_stock_version();

-- Units that have arrived while more orders wait than one transaction fills. They stay on order until they are
-- handed out, so that nothing is on hand while orders wait.
CREATE TABLE incoming (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku         text NOT NULL REFERENCES products (sku),
    cause       text NOT NULL,
    units       bigint NOT NULL CHECK (units > 0),
    reference   text NOT NULL,
    actor       text NOT NULL,
    note        text,
    traceparent text NOT NULL,
    arrived_at  timestamptz NOT NULL
);
CREATE INDEX incoming_sku ON incoming (sku, id);

-- Requests in the order in which waiting orders are promised their goods, without reading those that have ended.
CREATE INDEX replenishments_open ON replenishments (sku, id) WHERE status IN ('open', 'stalled');
CREATE INDEX replenishments_proposed ON replenishments (sku) WHERE status = 'proposed';
CREATE INDEX replenishments_automatic ON replenishments (sku)
    WHERE status IN ('open', 'stalled') AND reason <> 'manual';

-- An order is linked to the requests that cover the units it waits for, and to one that it only set off.
ALTER TABLE order_replenishments ADD COLUMN covers boolean NOT NULL DEFAULT true;
