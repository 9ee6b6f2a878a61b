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
        person_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        digest -> Binary,
        person -> Text,
        configured_digest -> Nullable<Binary>,
        source -> Text,
        created_at -> Timestamptz,
        last_seen_at -> Timestamptz,
        expires_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        ended_by -> Nullable<Text>,
        person_id -> Nullable<Uuid>,
        sign_in_digest -> Nullable<Binary>,
    }
}

diesel::table! {
    people (id) {
        id -> Uuid,
        issuer -> Text,
        subject -> Text,
        name -> Text,
        role -> Nullable<Text>,
        client -> Text,
        sealed_grant -> Nullable<Binary>,
        checked_at -> Timestamptz,
        failed_at -> Nullable<Timestamptz>,
        leased_until -> Nullable<Timestamptz>,
    }
}
