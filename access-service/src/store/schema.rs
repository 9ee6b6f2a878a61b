//! The tables; a test compares them with the database.

diesel::table! {
    tokens (id) {
        id -> Uuid,
        digest -> Binary,
        person -> Text,
        name -> Text,
        role -> Text,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
        last_used_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        revoked_by -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        digest -> Binary,
        person -> Text,
        configured_digest -> Binary,
        source -> Text,
        created_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        expires_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        ended_by -> Nullable<Text>,
    }
}
