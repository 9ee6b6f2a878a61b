-- Personal access tokens. The token itself is not stored.
CREATE TABLE tokens (
    id           uuid PRIMARY KEY,
    digest       bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    person       text NOT NULL,
    name         text NOT NULL,
    role         text NOT NULL CHECK (role IN ('viewer', 'operator')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    revoked_by   text,
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
CREATE UNIQUE INDEX tokens_person_name ON tokens (person, name) WHERE revoked_at IS NULL;
CREATE INDEX tokens_expires_at ON tokens (expires_at);

-- Sessions of persons. The credential of a session is not stored, nor is the token that it was begun with.
CREATE TABLE sessions (
    id                uuid PRIMARY KEY,
    digest            bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    person            text NOT NULL,
    -- Digest of the configured token: the session is valid only as long as that token is.
    configured_digest bytea NOT NULL CHECK (octet_length(configured_digest) = 32),
    source            text NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    last_seen_at      timestamptz NOT NULL DEFAULT now(),
    expires_at        timestamptz NOT NULL,
    ended_at          timestamptz,
    ended_by          text,
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE INDEX sessions_person ON sessions (person) WHERE ended_at IS NULL;
CREATE INDEX sessions_expires_at ON sessions (expires_at);
