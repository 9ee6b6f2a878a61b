-- People who have signed in at the identity provider.
CREATE TABLE people (
    id           uuid PRIMARY KEY,
    issuer       text NOT NULL,
    -- The provider's identifier of the person.
    subject      text NOT NULL,
    name         text NOT NULL UNIQUE,
    -- The role at the last check; null: the person has no access.
    role         text CHECK (role IN ('viewer', 'operator')),
    -- The registration that the provider's tokens were issued to.
    client       text NOT NULL CHECK (client IN ('console', 'cli')),
    -- The provider's tokens, sealed.
    sealed_grant bytea,
    checked_at   timestamptz NOT NULL DEFAULT now(),
    -- Time at which the provider gave no answer, since the last one.
    failed_at    timestamptz,
    -- Until then, one process alone checks the person: a refresh token can be used once.
    leased_until timestamptz,
    UNIQUE (issuer, subject)
);

ALTER TABLE tokens ADD COLUMN person_id uuid REFERENCES people;
CREATE INDEX tokens_person_id ON tokens (person_id) WHERE person_id IS NOT NULL;

ALTER TABLE sessions
    ALTER COLUMN configured_digest DROP NOT NULL,
    ADD COLUMN person_id uuid REFERENCES people,
    -- Digest of the sign-in's secret: it begins one session.
    ADD COLUMN sign_in_digest bytea CONSTRAINT sessions_sign_in_digest UNIQUE,
    ADD CONSTRAINT sessions_one_holder CHECK ((configured_digest IS NULL) <> (person_id IS NULL));
CREATE INDEX sessions_person_id ON sessions (person_id) WHERE person_id IS NOT NULL;
