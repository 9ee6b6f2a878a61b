//! The rules of the books, as SQL over the rows themselves.

use shared::audit::{Books, Rule};
use shared::rebuild::Mend;

/// Whoever changes stock locks its row first: nobody is half done when this is held.
const LOCK: &str = "LOCK TABLE stock IN EXCLUSIVE MODE";
const ON_HAND: &str = "UPDATE stock SET on_hand = ledger.units, updated_at = now() FROM (SELECT s.sku, \
    coalesce(sum(m.delta), 0)::bigint AS units FROM stock s LEFT JOIN stock_movements m ON m.sku = s.sku \
    GROUP BY s.sku) ledger WHERE ledger.sku = stock.sku AND stock.on_hand <> ledger.units";
const BACKORDERED: &str = "UPDATE stock SET backordered = lines.units, updated_at = now() FROM (SELECT s.sku, \
    coalesce(sum(l.waiting), 0)::bigint AS units FROM stock s LEFT JOIN order_lines l ON l.sku = s.sku AND l.waiting > 0 \
    GROUP BY s.sku) lines WHERE lines.sku = stock.sku AND stock.backordered <> lines.units";
const ON_ORDER: &str = "UPDATE stock SET on_order = open.units, updated_at = now() FROM (SELECT s.sku, \
    coalesce(sum(r.quantity - r.received), 0)::bigint AS units FROM stock s LEFT JOIN replenishments r \
    ON r.sku = s.sku AND r.status IN ('open', 'stalled') GROUP BY s.sku) open \
    WHERE open.sku = stock.sku AND stock.on_order <> open.units";

/// What must always hold between stock, ledger, orders, replenishments and receipts.
pub const BOOKS: Books = Books {
    rules: &[
        Rule {
            name: "never-below-zero",
            sql: "SELECT format('%s: %s on hand, %s backordered, %s on order', sku, on_hand, backordered, on_order) AS off \
                  FROM stock WHERE on_hand < 0 OR backordered < 0 OR on_order < 0 ORDER BY sku",
            mend: None,
        },
        Rule {
            name: "waits-or-is-there",
            sql: "SELECT format('%s: %s on hand while %s wait', sku, on_hand, backordered) AS off \
                  FROM stock WHERE on_hand > 0 AND backordered > 0 ORDER BY sku",
            mend: None,
        },
        Rule {
            name: "ledger-adds-up",
            sql: "SELECT format('%s: on hand is %s, the ledger says %s (%s off)', s.sku, s.on_hand, coalesce(m.units, 0), \
                  s.on_hand - coalesce(m.units, 0)) AS off FROM stock s \
                  LEFT JOIN (SELECT sku, sum(delta) AS units FROM stock_movements GROUP BY sku) m ON m.sku = s.sku \
                  WHERE s.on_hand <> coalesce(m.units, 0) ORDER BY s.sku",
            mend: Some(Mend { lock: LOCK, sql: ON_HAND }),
        },
        Rule {
            name: "ledger-chains",
            sql: "SELECT format('%s: entry %s begins at %s, the one before ended at %s', sku, id, before, previous) AS off \
                  FROM (SELECT sku, entry, id, before, lag(after, 1, 0::bigint) OVER (PARTITION BY sku ORDER BY entry) \
                  AS previous FROM stock_movements) entries WHERE before <> previous ORDER BY sku, entry",
            mend: None,
        },
        Rule {
            name: "sold-is-in-orders",
            sql: "SELECT format('%s: orders hold %s units, the ledger gave them %s', s.sku, coalesce(l.units, 0), \
                  coalesce(m.units, 0)) AS off FROM stock s \
                  LEFT JOIN (SELECT sku, sum(filled) AS units FROM order_lines GROUP BY sku) l ON l.sku = s.sku \
                  LEFT JOIN (SELECT sku, -sum(delta) AS units FROM stock_movements \
                  WHERE cause IN ('sale', 'backorder_fill', 'cancellation') GROUP BY sku) m ON m.sku = s.sku \
                  WHERE coalesce(l.units, 0) <> coalesce(m.units, 0) ORDER BY s.sku",
            mend: None,
        },
        Rule {
            name: "backordered-is-in-orders",
            sql: "SELECT format('%s: backordered is %s, orders wait for %s', s.sku, s.backordered, coalesce(l.units, 0)) AS off \
                  FROM stock s LEFT JOIN (SELECT sku, sum(waiting) AS units FROM order_lines WHERE waiting > 0 \
                  GROUP BY sku) l ON l.sku = s.sku WHERE s.backordered <> coalesce(l.units, 0) ORDER BY s.sku",
            mend: Some(Mend { lock: LOCK, sql: BACKORDERED }),
        },
        Rule {
            name: "on-order-is-in-replenishments",
            sql: "SELECT format('%s: on order is %s, open replenishments wait for %s', s.sku, s.on_order, coalesce(r.units, 0)) \
                  AS off FROM stock s LEFT JOIN (SELECT sku, sum(quantity - received) AS units FROM replenishments \
                  WHERE status IN ('open', 'stalled') GROUP BY sku) r ON r.sku = s.sku \
                  WHERE s.on_order <> coalesce(r.units, 0) ORDER BY s.sku",
            mend: Some(Mend { lock: LOCK, sql: ON_ORDER }),
        },
        Rule {
            name: "receipts-count-once",
            sql: "SELECT format('%s: receipts of %s units were applied, the ledger has %s', s.sku, coalesce(r.units, 0), \
                  coalesce(m.units, 0)) AS off FROM stock s \
                  LEFT JOIN (SELECT sku, sum(quantity) AS units FROM receipts_applied GROUP BY sku) r ON r.sku = s.sku \
                  LEFT JOIN (SELECT sku, sum(delta) AS units FROM stock_movements WHERE cause = 'receipt' GROUP BY sku) m \
                  ON m.sku = s.sku WHERE coalesce(r.units, 0) <> coalesce(m.units, 0) ORDER BY s.sku",
            mend: None,
        },
        Rule {
            name: "one-proposal-a-product",
            sql: "SELECT format('%s: %s proposals wait', sku, count(*)) AS off FROM replenishments \
                  WHERE status = 'proposed' GROUP BY sku HAVING count(*) > 1 ORDER BY sku",
            mend: None,
        },
        Rule {
            name: "order-status-fits-lines",
            sql: "SELECT format('order %s is %s and waits for %s units', o.id, o.status, sum(l.waiting)) AS off \
                  FROM orders o JOIN order_lines l ON l.order_id = o.id \
                  GROUP BY o.id, o.status HAVING (o.status = 'backordered') <> (sum(l.waiting) > 0) ORDER BY o.id",
            mend: None,
        },
    ],
    totals: "SELECT jsonb_build_object('sku', s.sku, 'on_hand', s.on_hand, 'backordered', s.backordered, \
             'on_order', s.on_order, 'received', coalesce(m.received, 0), 'adjusted', coalesce(m.adjusted, 0), \
             'cancelled', coalesce(m.cancelled, 0), 'sold', coalesce(m.sold, 0)) AS total FROM stock s \
             LEFT JOIN (SELECT sku, sum(delta) FILTER (WHERE cause = 'receipt') AS received, \
             sum(delta) FILTER (WHERE cause IN ('cycle_count', 'damage', 'return', 'correction')) AS adjusted, \
             sum(delta) FILTER (WHERE cause = 'cancellation') AS cancelled, \
             -sum(delta) FILTER (WHERE cause IN ('sale', 'backorder_fill')) AS sold \
             FROM stock_movements GROUP BY sku) m ON m.sku = s.sku ORDER BY s.sku",
};
