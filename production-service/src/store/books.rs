//! The rules of the books, as SQL over the rows themselves.

use jaego_service::audit::{Books, Rule};

/// What must always hold between requests, attempts and receipts.
pub const BOOKS: Books = Books {
    rules: &[
        // Goods of another product, accepted by an operator, do not count. A receipt without a product of its
        // own was kept by an older release, as what was asked for.
        Rule {
            name: "received-is-in-receipts",
            sql: "SELECT format('%s: request %s says %s received, its receipts say %s', p.sku, p.id, p.received, \
                  coalesce(sum(r.quantity), 0)) AS off FROM production_requests p \
                  LEFT JOIN receipts r ON r.request_id = p.id AND coalesce(r.sku, p.sku) = p.sku \
                  GROUP BY p.id, p.sku, p.received HAVING p.received <> coalesce(sum(r.quantity), 0) \
                  ORDER BY p.sku, p.id",
            mend: None,
        },
        Rule {
            name: "attempts-are-counted",
            sql: "SELECT format('%s: request %s counts %s attempts, %s are kept', p.sku, p.id, p.attempt_count, count(a.number)) \
                  AS off FROM production_requests p LEFT JOIN production_attempts a ON a.request_id = p.id \
                  GROUP BY p.id, p.sku, p.attempt_count HAVING p.attempt_count <> count(a.number) ORDER BY p.sku, p.id",
            mend: None,
        },
        Rule {
            name: "received-fits-status",
            sql: "SELECT format('%s: request %s is %s with %s of %s', sku, id, status, received, quantity) AS off \
                  FROM production_requests WHERE (status = 'received') <> (received >= quantity) AND status <> 'cancelled' \
                  ORDER BY sku, id",
            mend: None,
        },
    ],
    // Whatever came, whether or not its request is known: what restock-service and sales-service count, too.
    totals: "SELECT jsonb_build_object('sku', sku, 'received', sum(quantity)) AS total \
             FROM (SELECT coalesce(r.sku, p.sku) AS sku, r.quantity FROM receipts r \
             LEFT JOIN production_requests p ON p.id = r.request_id) kept \
             WHERE sku IS NOT NULL GROUP BY sku ORDER BY sku",
    open: "SELECT jsonb_build_object('id', id, 'sku', sku, 'quantity', quantity, 'status', status) AS open \
           FROM production_requests WHERE status NOT IN ('received', 'refused', 'cancelled') \
           ORDER BY id DESC LIMIT 10001",
    increments: None,
};
