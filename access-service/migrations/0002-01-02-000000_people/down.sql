DELETE FROM sessions WHERE person_id IS NOT NULL;
DELETE FROM tokens WHERE person_id IS NOT NULL;
DROP INDEX sessions_person_id;
ALTER TABLE sessions
    DROP CONSTRAINT sessions_one_holder,
    DROP COLUMN sign_in_digest,
    DROP COLUMN person_id,
    ALTER COLUMN configured_digest SET NOT NULL;
DROP INDEX tokens_person_id;
ALTER TABLE tokens DROP COLUMN person_id;
DROP TABLE people;
