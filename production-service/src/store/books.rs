//! The rules of the books, as SQL over the rows themselves.

use shared::audit::{Books, Rule};

/// What must always hold between requests, attempts and receipts.
pub const BOOKS: Books = Books {
    rules: &[
        Rule {
            name: "received-is-in-receipts",
            sql: "SELECT format('%s: request %s says %s received, its receipts say %s', p.sku, p.id, p.received, \
                  coalesce(r.units, 0)) AS off FROM production_requests p \
                  LEFT JOIN (SELECT request_id, sum(quantity) AS units FROM receipts GROUP BY request_id) r \
                  ON r.request_id = p.id WHERE p.received <> coalesce(r.units, 0) ORDER BY p.sku, p.id",
        },
        Rule {
            name: "attempts-are-counted",
            sql: "SELECT format('%s: request %s counts %s attempts, %s are kept', p.sku, p.id, p.attempt_count, count(a.number)) \
                  AS off FROM production_requests p LEFT JOIN production_attempts a ON a.request_id = p.id \
                  GROUP BY p.id, p.sku, p.attempt_count HAVING p.attempt_count <> count(a.number) ORDER BY p.sku, p.id",
        },
        Rule {
            name: "received-fits-status",
            sql: "SELECT format('%s: request %s is %s with %s of %s', sku, id, status, received, quantity) AS off \
                  FROM production_requests WHERE (status = 'received') <> (received >= quantity) AND status <> 'cancelled' \
                  ORDER BY sku, id",
        },
    ],
    totals: "SELECT jsonb_build_object('sku', p.sku, 'received', sum(r.quantity)) AS total \
             FROM receipts r JOIN production_requests p ON p.id = r.request_id GROUP BY p.sku ORDER BY p.sku",
};
