-- Written by every process that asks whether the database is well: only a commit proves that it takes work.
CREATE TABLE heartbeats (
    id integer PRIMARY KEY CHECK (id = 1),
    at timestamptz NOT NULL
);
