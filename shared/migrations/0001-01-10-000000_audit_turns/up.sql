-- One replica at a time checks the books, by the database's clock.
CREATE TABLE audit_turns (
    id      integer PRIMARY KEY CHECK (id = 1),
    next_at timestamptz NOT NULL,
    -- When all rules were last checked from the first row on.
    full_at timestamptz
);
INSERT INTO audit_turns (id, next_at) VALUES (1, now());
