-- How far the ledger of each product was proven, and what was on hand there: the next check goes on from it.
CREATE TABLE audited (
    sku     text PRIMARY KEY,
    entry   bigint NOT NULL,
    on_hand bigint NOT NULL
);
