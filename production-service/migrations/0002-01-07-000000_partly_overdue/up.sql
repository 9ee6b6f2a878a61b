-- What came in part can be overdue, too.
DROP INDEX production_requests_undelivered;
CREATE INDEX production_requests_undelivered ON production_requests (last_accepted_at)
    WHERE status IN ('accepted', 'partly_received') AND NOT overdue;
