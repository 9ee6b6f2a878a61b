//! The audit rules, as SQL over the rows themselves.

use jaego_service::audit::{Books, Rule};

/// Invariants between requests, deliveries, receipts and quarantine.
pub(crate) const BOOKS: Books = Books {
    rules: &[
        // Receipts count regardless of who booked them, except for accepted goods of another product.
        Rule {
            name: "received-is-in-receipts",
            sql: "SELECT format('%s: request %s says %s received, its receipts say %s', p.sku, p.id, p.received, \
                  coalesce(r.units, 0)) AS violation FROM production_requests p \
                  LEFT JOIN (SELECT request_id, sku, sum(quantity) AS units FROM receipts GROUP BY request_id, sku) r \
                  ON r.request_id = p.id AND r.sku = p.sku \
                  WHERE p.received <> coalesce(r.units, 0) ORDER BY p.sku, p.id",
            repair: None,
        },
        // A receipt that a callback booked has exactly one delivery; one that an operator booked has none.
        Rule {
            name: "a-delivery-counts-once",
            sql: "SELECT format('%s: receipt %s has %s units and %s deliveries that counted %s', r.sku, r.id, \
                  r.quantity, count(d.id), coalesce(sum(d.quantity_received), 0)) AS violation FROM receipts r \
                  LEFT JOIN deliveries d ON d.receipt_id = r.id GROUP BY r.id \
                  HAVING count(d.id) <> CASE WHEN r.actor IS NULL THEN 1 ELSE 0 END \
                  OR sum(d.quantity_received) <> r.quantity ORDER BY r.sku, r.id",
            repair: None,
        },
        Rule {
            name: "a-receipt-is-for-its-request",
            sql: "SELECT format('%s: receipt %s belongs to a request for %s', r.sku, r.id, p.sku) AS violation \
                  FROM receipts r JOIN production_requests p ON p.id = r.request_id WHERE r.sku <> p.sku \
                  AND NOT EXISTS (SELECT FROM quarantine q WHERE q.receipt_id = r.id AND q.status = 'accepted' \
                  AND q.claimed_product = r.sku) ORDER BY r.sku, r.id",
            repair: None,
        },
        // Conversely, an operator's receipt for a token belongs to one entry, any other receipt to none.
        Rule {
            name: "an-accepted-entry-has-one-receipt",
            sql: "SELECT format('%s: quarantine entry %s is %s and has %s receipts', q.sku, q.id, q.status, \
                  count(r.id)) AS violation FROM quarantine q LEFT JOIN receipts r ON r.id = q.receipt_id \
                  AND r.request_id = q.request_id AND r.jti = q.jti AND r.actor = q.decided_by GROUP BY q.id \
                  HAVING count(r.id) <> CASE q.status WHEN 'accepted' THEN 1 ELSE 0 END \
                  UNION ALL SELECT format('%s: receipt %s has %s quarantine entries', r.sku, r.id, count(q.id)) \
                  FROM receipts r LEFT JOIN quarantine q ON q.receipt_id = r.id GROUP BY r.id \
                  HAVING count(q.id) <> CASE WHEN r.actor IS NOT NULL AND r.jti IS NOT NULL THEN 1 ELSE 0 END \
                  ORDER BY violation",
            repair: None,
        },
    ],
    totals: "SELECT jsonb_build_object('sku', sku, 'received', sum(quantity)) AS total \
             FROM receipts GROUP BY sku ORDER BY sku",
    // This service is not notified when a request is refused: it stays open here.
    open: "SELECT jsonb_build_object('id', id, 'sku', sku, 'quantity', quantity, 'status', \
           CASE WHEN received = 0 THEN 'expected' ELSE 'partly_received' END) AS open FROM production_requests \
           WHERE cancelled_at IS NULL AND received < quantity ORDER BY id DESC LIMIT 10001",
    increments: None,
};
