-- A redrive of a group adds its dead letters in slices. The group, and how many more the job may add; zero: it has all
-- of them. A program of the release before adds all at once.
ALTER TABLE redrives ADD COLUMN "group" text;
ALTER TABLE redrives ADD COLUMN to_add bigint NOT NULL DEFAULT 0;
CREATE INDEX redrives_growing ON redrives (id) WHERE to_add > 0;
-- Groups are counted, and their newest dead letters found, without reading all dead letters.
CREATE INDEX dead_letters_groups ON dead_letters ("group", last_failed_at, id) INCLUDE (status, first_failed_at)
    WHERE status IN ('waiting', 'redriving');
