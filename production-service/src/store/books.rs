//! Audit rules, as SQL over the rows themselves.

use jaego_service::audit::{Books, Rule};

/// Invariants between requests, attempts and receipts.
pub const BOOKS: Books = Books {
    rules: &[
        // Goods of another product, accepted by an operator, do not count. A receipt without a product was stored by
        // an older release and is of the ordered product.
        Rule {
            name: "received-is-in-receipts",
            sql: "SELECT format('%s: request %s says %s received, its receipts say %s', p.sku, p.id, p.received, \
                  coalesce(sum(r.quantity), 0)) AS violation FROM production_requests p \
                  LEFT JOIN receipts r ON r.request_id = p.id AND coalesce(r.sku, p.sku) = p.sku \
                  GROUP BY p.id, p.sku, p.received HAVING p.received <> coalesce(sum(r.quantity), 0) \
                  ORDER BY p.sku, p.id",
            repair: None,
        },
        Rule {
            name: "attempts-are-counted",
            sql: "SELECT format('%s: request %s counts %s attempts, %s are kept', p.sku, p.id, p.attempt_count, count(a.number)) \
                  AS violation FROM production_requests p LEFT JOIN production_attempts a ON a.request_id = p.id \
                  GROUP BY p.id, p.sku, p.attempt_count HAVING p.attempt_count <> count(a.number) ORDER BY p.sku, p.id",
            repair: None,
        },
        Rule {
            name: "received-fits-status",
            sql: "SELECT format('%s: request %s is %s with %s of %s', sku, id, status, received, quantity) AS violation \
                  FROM production_requests WHERE (status = 'received') <> (received >= quantity) AND status <> 'cancelled' \
                  ORDER BY sku, id",
            repair: None,
        },
    ],
    // All receipts, whether or not their requests are known, as restock-service and sales-service count them.
    totals: "SELECT jsonb_build_object('sku', sku, 'received', sum(quantity)) AS total \
             FROM (SELECT coalesce(r.sku, p.sku) AS sku, r.quantity FROM receipts r \
             LEFT JOIN production_requests p ON p.id = r.request_id) kept \
             WHERE sku IS NOT NULL GROUP BY sku ORDER BY sku",
    open: "SELECT jsonb_build_object('id', id, 'sku', sku, 'quantity', quantity, 'status', status) AS open \
           FROM production_requests WHERE status NOT IN ('received', 'refused', 'cancelled') \
           ORDER BY id DESC LIMIT 10001",
    increments: None,
};
