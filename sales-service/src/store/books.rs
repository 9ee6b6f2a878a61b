//! The audit rules of the books, as SQL over the rows themselves.

use jaego_service::audit::Repair;
use jaego_service::audit::{Books, Increments, Rule};

/// Every stock change locks its row first, so no change is in progress while this lock is held.
const LOCK: &str = "LOCK TABLE stock IN EXCLUSIVE MODE";
/// Sets all three figures at once, because one alone may contradict another. A product whose rows have both units on
/// hand and waiting orders is left to an operator.
const FIGURES: &str = "UPDATE stock SET on_hand = said.on_hand, backordered = said.backordered, \
    on_order = said.on_order, updated_at = now() FROM (SELECT s.sku, coalesce(m.units, 0)::bigint AS on_hand, \
    coalesce(l.units, 0)::bigint AS backordered, coalesce(r.units, 0)::bigint AS on_order FROM stock s \
    LEFT JOIN (SELECT sku, sum(delta) AS units FROM stock_movements GROUP BY sku) m ON m.sku = s.sku \
    LEFT JOIN (SELECT sku, sum(waiting) AS units FROM order_lines WHERE waiting > 0 GROUP BY sku) l ON l.sku = s.sku \
    LEFT JOIN (SELECT sku, sum(units) AS units FROM (SELECT sku, quantity - received AS units FROM replenishments \
    WHERE status IN ('open', 'stalled') UNION ALL SELECT sku, units FROM incoming) o GROUP BY sku) r ON r.sku = s.sku) said WHERE said.sku = stock.sku \
    AND (stock.on_hand, stock.backordered, stock.on_order) <> (said.on_hand, said.backordered, said.on_order) \
    AND (said.on_hand = 0 OR said.backordered = 0) AND said.on_hand >= 0";
const REBUILT: Option<Repair> = Some(Repair { lock: LOCK, sql: FIGURES });

const NEVER_BELOW_ZERO: Rule = Rule {
    name: "never-below-zero",
    sql: "SELECT format('%s: %s on hand, %s backordered, %s on order', sku, on_hand, backordered, on_order) AS violation \
          FROM stock WHERE on_hand < 0 OR backordered < 0 OR on_order < 0 ORDER BY sku",
    repair: None,
};
const WAITS_OR_IS_THERE: Rule = Rule {
    name: "waits-or-is-there",
    sql: "SELECT format('%s: %s on hand while %s wait', sku, on_hand, backordered) AS violation \
          FROM stock WHERE on_hand > 0 AND backordered > 0 ORDER BY sku",
    repair: None,
};
const BACKORDERED_IS_IN_ORDERS: Rule = Rule {
    name: "backordered-is-in-orders",
    sql: "SELECT format('%s: backordered is %s, orders wait for %s', s.sku, s.backordered, coalesce(l.units, 0)) AS violation \
          FROM stock s LEFT JOIN (SELECT sku, sum(waiting) AS units FROM order_lines WHERE waiting > 0 \
          GROUP BY sku) l ON l.sku = s.sku WHERE s.backordered <> coalesce(l.units, 0) ORDER BY s.sku",
    repair: REBUILT,
};
const ON_ORDER_IS_IN_REPLENISHMENTS: Rule = Rule {
    name: "on-order-is-in-replenishments",
    sql: "SELECT format('%s: on order is %s, %s are to come or to be handed out', s.sku, s.on_order, \
          coalesce(r.units, 0)) AS violation FROM stock s LEFT JOIN (SELECT sku, sum(units) AS units FROM \
          (SELECT sku, quantity - received AS units FROM replenishments WHERE status IN ('open', 'stalled') \
          UNION ALL SELECT sku, units FROM incoming) o GROUP BY sku) r ON r.sku = s.sku \
          WHERE s.on_order <> coalesce(r.units, 0) ORDER BY s.sku",
    repair: REBUILT,
};

/// Rules for the checks between two full ones: those whose cost does not grow with history, and the ledger from the
/// last proven entry on. Entries of a product are numbered under its lock, so no entry can appear later among the
/// proven ones.
const INCREMENTS: Increments = Increments {
    rules: &[
        NEVER_BELOW_ZERO,
        WAITS_OR_IS_THERE,
        BACKORDERED_IS_IN_ORDERS,
        ON_ORDER_IS_IN_REPLENISHMENTS,
        Rule {
            name: "ledger-adds-up",
            sql: "SELECT format('%s: on hand is %s, the ledger says %s', s.sku, s.on_hand, \
                  coalesce(a.on_hand, 0) + new.units) AS violation \
                  FROM stock s LEFT JOIN audited a ON a.sku = s.sku CROSS JOIN LATERAL \
                  (SELECT coalesce(sum(m.delta), 0) AS units FROM stock_movements m \
                  WHERE m.sku = s.sku AND m.entry > coalesce(a.entry, 0)) new \
                  WHERE s.on_hand <> coalesce(a.on_hand, 0) + new.units ORDER BY s.sku",
            repair: None,
        },
        Rule {
            name: "ledger-chains",
            sql: "SELECT format('%s: entry %s begins at %s, the one before ended at %s', s.sku, new.entry, new.before, \
                  new.previous) AS violation FROM stock s LEFT JOIN audited a ON a.sku = s.sku CROSS JOIN LATERAL \
                  (SELECT m.entry, m.before, lag(m.after, 1, coalesce(a.on_hand, 0)) OVER (ORDER BY m.entry) AS previous \
                  FROM stock_movements m WHERE m.sku = s.sku AND m.entry > coalesce(a.entry, 0)) new \
                  WHERE new.before <> new.previous ORDER BY s.sku, new.entry",
            repair: None,
        },
    ],
    advance: "INSERT INTO audited (sku, entry, on_hand) SELECT s.sku, new.entry, s.on_hand \
              FROM stock s LEFT JOIN audited a ON a.sku = s.sku CROSS JOIN LATERAL \
              (SELECT max(m.entry) AS entry FROM stock_movements m \
              WHERE m.sku = s.sku AND m.entry > coalesce(a.entry, 0)) new WHERE new.entry IS NOT NULL \
              ON CONFLICT (sku) DO UPDATE SET entry = excluded.entry, on_hand = excluded.on_hand",
};

/// Invariants between stock, ledger, orders, replenishments and receipts.
pub const BOOKS: Books = Books {
    rules: &[
        NEVER_BELOW_ZERO,
        WAITS_OR_IS_THERE,
        Rule {
            name: "ledger-adds-up",
            sql: "SELECT format('%s: on hand is %s, the ledger says %s (%s off)', s.sku, s.on_hand, coalesce(m.units, 0), \
                  s.on_hand - coalesce(m.units, 0)) AS violation FROM stock s \
                  LEFT JOIN (SELECT sku, sum(delta) AS units FROM stock_movements GROUP BY sku) m ON m.sku = s.sku \
                  WHERE s.on_hand <> coalesce(m.units, 0) ORDER BY s.sku",
            repair: REBUILT,
        },
        Rule {
            name: "ledger-chains",
            sql: "SELECT format('%s: entry %s begins at %s, the one before ended at %s', sku, id, before, previous) AS violation \
                  FROM (SELECT sku, entry, id, before, lag(after, 1, 0::bigint) OVER (PARTITION BY sku ORDER BY entry) \
                  AS previous FROM stock_movements) entries WHERE before <> previous ORDER BY sku, entry",
            repair: None,
        },
        Rule {
            name: "sold-is-in-orders",
            sql: "SELECT format('%s: orders hold %s units, the ledger gave them %s', s.sku, coalesce(l.units, 0), \
                  coalesce(m.units, 0)) AS violation FROM stock s \
                  LEFT JOIN (SELECT sku, sum(filled) AS units FROM order_lines GROUP BY sku) l ON l.sku = s.sku \
                  LEFT JOIN (SELECT sku, -sum(delta) AS units FROM stock_movements \
                  WHERE cause IN ('sale', 'backorder_fill', 'cancellation') GROUP BY sku) m ON m.sku = s.sku \
                  WHERE coalesce(l.units, 0) <> coalesce(m.units, 0) ORDER BY s.sku",
            repair: None,
        },
        BACKORDERED_IS_IN_ORDERS,
        ON_ORDER_IS_IN_REPLENISHMENTS,
        Rule {
            name: "receipts-count-once",
            sql: "SELECT format('%s: receipts of %s units were applied, the ledger has %s', s.sku, coalesce(r.units, 0), \
                  coalesce(m.units, 0)) AS violation FROM stock s \
                  LEFT JOIN (SELECT sku, sum(quantity) AS units FROM receipts_applied GROUP BY sku) r ON r.sku = s.sku \
                  LEFT JOIN (SELECT sku, sum(delta) AS units FROM (SELECT sku, delta FROM stock_movements \
                  WHERE cause = 'receipt' UNION ALL SELECT sku, units FROM incoming WHERE cause = 'receipt') e \
                  GROUP BY sku) m ON m.sku = s.sku WHERE coalesce(r.units, 0) <> coalesce(m.units, 0) ORDER BY s.sku",
            repair: None,
        },
        Rule {
            name: "each-receipt-is-in-the-ledger",
            sql: "SELECT format('%s: receipt %s of %s units was applied, the ledger has %s under it', \
                  coalesce(a.sku, m.sku), coalesce(a.id, m.reference), coalesce(a.quantity, 0), coalesce(m.delta, 0)) AS violation \
                  FROM (SELECT sku, receipt_id::text AS id, quantity FROM receipts_applied) a \
                  FULL JOIN (SELECT sku, reference, sum(delta) AS delta FROM (SELECT sku, reference, delta \
                  FROM stock_movements WHERE cause = 'receipt' UNION ALL SELECT sku, reference, units FROM incoming \
                  WHERE cause = 'receipt') e GROUP BY sku, reference) m \
                  ON m.reference = a.id AND m.sku = a.sku AND m.delta = a.quantity \
                  WHERE a.id IS NULL OR m.reference IS NULL ORDER BY 1",
            repair: None,
        },
        Rule {
            name: "received-is-in-receipts",
            sql: "SELECT format('%s: replenishment %s says %s received, its receipts say %s', r.sku, r.id, r.received, \
                  coalesce(a.units, 0)) AS violation FROM replenishments r \
                  LEFT JOIN (SELECT request_id, sku, sum(quantity) AS units FROM receipts_applied GROUP BY request_id, sku) a \
                  ON a.request_id = r.id AND a.sku = r.sku WHERE r.received <> coalesce(a.units, 0) ORDER BY r.sku, r.id",
            repair: None,
        },
        Rule {
            name: "replenishment-status-fits-received",
            sql: "SELECT format('%s: replenishment %s is %s with %s of %s', sku, id, status, received, quantity) AS violation \
                  FROM replenishments WHERE NOT CASE status WHEN 'complete' THEN received >= quantity \
                  WHEN 'open' THEN received < quantity WHEN 'stalled' THEN received < quantity \
                  WHEN 'proposed' THEN received = 0 ELSE true END ORDER BY sku, id",
            repair: None,
        },
        // The units on order when a replenishment was decided are at least the open units of older ones.
        Rule {
            name: "one-shortfall-is-answered-once",
            sql: "SELECT format('%s: replenishment %s (%s) was decided at position %s with %s on order, while %s were to come', \
                  r.sku, r.id, r.reason, r.position_before, r.on_order_before, coalesce(older.units, 0)) AS violation \
                  FROM replenishments r LEFT JOIN LATERAL (SELECT sum(o.quantity - o.received) AS units FROM replenishments o \
                  WHERE o.sku = r.sku AND o.entry < r.entry AND o.status IN ('open', 'stalled') \
                  AND o.position_before IS NOT NULL AND o.ordered_at = o.created_at) older ON true \
                  WHERE r.on_order_before < coalesce(older.units, 0) \
                  OR r.reason = 'shortage' AND r.on_order_before > 0 ORDER BY r.sku, r.id",
            repair: None,
        },
        Rule {
            name: "one-proposal-a-product",
            sql: "SELECT format('%s: %s proposals wait', sku, count(*)) AS violation FROM replenishments \
                  WHERE status = 'proposed' GROUP BY sku HAVING count(*) > 1 ORDER BY sku",
            repair: None,
        },
        // Replaces foreign keys, which would be checked row by row for rows written by one transaction.
        Rule {
            name: "nothing-hangs-in-the-air",
            sql: "SELECT format('line %s of %s belongs to no order', l.id, l.order_id) AS violation FROM order_lines l \
                  LEFT JOIN orders o ON o.id = l.order_id WHERE o.id IS NULL \
                  UNION ALL SELECT format('line %s of %s is of %s, which is no product', l.id, l.order_id, l.sku) \
                  FROM order_lines l LEFT JOIN products p ON p.sku = l.sku WHERE p.sku IS NULL \
                  UNION ALL SELECT format('entry %s is of %s, which has no figures', m.id, m.sku) FROM stock_movements m \
                  LEFT JOIN stock s ON s.sku = m.sku WHERE s.sku IS NULL \
                  UNION ALL SELECT format('%s waits for %s, and one of them is not there', w.order_id, w.replenishment_id) \
                  FROM order_replenishments w LEFT JOIN orders o ON o.id = w.order_id \
                  LEFT JOIN replenishments r ON r.id = w.replenishment_id WHERE o.id IS NULL OR r.id IS NULL",
            repair: None,
        },
        Rule {
            name: "order-status-fits-lines",
            sql: "SELECT format('order %s is %s: %s of %s units filled, %s waiting', o.id, o.status, sum(l.filled), \
                  sum(l.quantity), sum(l.waiting)) AS violation FROM orders o JOIN order_lines l ON l.order_id = o.id \
                  GROUP BY o.id, o.status HAVING NOT CASE o.status \
                  WHEN 'confirmed' THEN sum(l.filled) = sum(l.quantity) AND sum(l.waiting) = 0 \
                  WHEN 'backordered' THEN sum(l.filled) + sum(l.waiting) = sum(l.quantity) AND sum(l.waiting) > 0 \
                  ELSE sum(l.filled) = 0 AND sum(l.waiting) = 0 END ORDER BY o.id",
            repair: None,
        },
    ],
    totals: "SELECT jsonb_build_object('sku', s.sku, 'on_hand', s.on_hand, 'backordered', s.backordered, \
             'on_order', s.on_order, 'received', coalesce(m.received, 0) + coalesce(i.received, 0), 'adjusted', coalesce(m.adjusted, 0), \
             'cancelled', coalesce(m.cancelled, 0), 'sold', coalesce(m.sold, 0)) AS total FROM stock s \
             LEFT JOIN (SELECT sku, sum(delta) FILTER (WHERE cause = 'receipt') AS received, \
             sum(delta) FILTER (WHERE cause IN ('cycle_count', 'damage', 'return', 'correction')) AS adjusted, \
             sum(delta) FILTER (WHERE cause = 'cancellation') AS cancelled, \
             -sum(delta) FILTER (WHERE cause IN ('sale', 'backorder_fill')) AS sold \
             FROM stock_movements GROUP BY sku) m ON m.sku = s.sku \
             LEFT JOIN (SELECT sku, sum(units) AS received FROM incoming WHERE cause = 'receipt' GROUP BY sku) i \
             ON i.sku = s.sku ORDER BY s.sku",
    open: "SELECT jsonb_build_object('id', id, 'sku', sku, 'quantity', quantity, 'status', status) AS open \
           FROM replenishments WHERE status IN ('open', 'stalled') ORDER BY id DESC LIMIT 10001",
    increments: Some(INCREMENTS),
};
