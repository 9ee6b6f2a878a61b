//! The tables as created by the migrations; a test compares both.

diesel::table! {
    production_requests (id) {
        id -> Uuid,
        sku -> Text,
        factory_id -> Text,
        quantity -> BigInt,
        received -> BigInt,
        requested_at -> Nullable<Timestamptz>,
        cancelled_at -> Nullable<Timestamptz>,
        traceparent -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    receipts (id) {
        id -> Uuid,
        request_id -> Uuid,
        sku -> Text,
        quantity -> BigInt,
        factory_id -> Text,
        delivery_id -> Nullable<Text>,
        jti -> Nullable<Text>,
        received_at -> Timestamptz,
        traceparent -> Text,
        actor -> Nullable<Text>,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    deliveries (id) {
        id -> Uuid,
        jti -> Text,
        delivery_id -> Nullable<Text>,
        request_id -> Uuid,
        count -> BigInt,
        outcome -> Text,
        receipt_id -> Nullable<Uuid>,
        quantity_received -> BigInt,
        quantity_quarantined -> BigInt,
        completed -> Bool,
        body -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    quarantine (id) {
        id -> Uuid,
        status -> Text,
        reason -> Text,
        request_id -> Uuid,
        jti -> Text,
        delivery_id -> Nullable<Text>,
        fingerprint -> Binary,
        sku -> Text,
        factory_id -> Text,
        quantity -> Nullable<BigInt>,
        claimed_product -> Nullable<Text>,
        claimed_factory -> Nullable<Text>,
        body -> Text,
        traceparent -> Text,
        created_at -> Timestamptz,
        decided_by -> Nullable<Text>,
        decided_at -> Nullable<Timestamptz>,
        decision_reason -> Nullable<Text>,
        receipt_id -> Nullable<Uuid>,
        body_bytes -> Nullable<Binary>,
        times_received -> BigInt,
        last_received_at -> Nullable<Timestamptz>,
        last_callback_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    factories (id) {
        id -> Text,
        callback_sources -> Array<Text>,
        revision -> BigInt,
    }
}
