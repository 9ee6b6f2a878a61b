//! Diesel's view of the tables; a test compares it with the database.
#![expect(missing_docs, reason = "columns are explained in the migration")]

use diesel::{allow_tables_to_appear_in_same_query, table};

table! {
    factories (id) {
        id -> Text,
        name -> Text,
        base_url -> Text,
        requester -> Text,
        enabled -> Bool,
        timeout_ms -> Integer,
        max_in_flight -> Integer,
        rate_per_s -> Nullable<Double>,
        lead_time_s -> BigInt,
        overdue_factor -> Double,
        fallback_factory_id -> Nullable<Text>,
        retry_schedule_ms -> Nullable<Array<BigInt>>,
        callback_sources -> Array<Text>,
        revision -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        lead_time_p50_s -> Nullable<BigInt>,
        lead_time_p90_s -> Nullable<BigInt>,
        measurements -> BigInt,
        measured_at -> Nullable<Timestamptz>,
        not_before -> Nullable<Timestamptz>,
    }
}

table! {
    production_requests (id) {
        id -> Uuid,
        sku -> Text,
        factory_id -> Text,
        quantity -> BigInt,
        received -> BigInt,
        status -> Text,
        overdue -> Bool,
        attempt_count -> Integer,
        attempts_before_schedule -> Integer,
        next_attempt_at -> Nullable<Timestamptz>,
        lease_until -> Nullable<Timestamptz>,
        factory_job_id -> Nullable<Text>,
        revision -> BigInt,
        reason -> Text,
        outcome_reason -> Nullable<Text>,
        traceparent -> Text,
        event_id -> Text,
        event -> Binary,
        requested_at -> Timestamptz,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        accepted_at -> Nullable<Timestamptz>,
        accepted_by -> Nullable<Text>,
        received_at -> Nullable<Timestamptz>,
        outcome_unknown -> Bool,
        fallback_from -> Nullable<Text>,
        schedule_began_at -> Timestamptz,
        has_died -> Bool,
        last_accepted_at -> Nullable<Timestamptz>,
        last_outcome -> Nullable<Text>,
        outcome_at -> Nullable<Timestamptz>,
    }
}

table! {
    production_attempts (request_id, number) {
        request_id -> Uuid,
        number -> Integer,
        factory_id -> Text,
        jti -> Text,
        started_at -> Timestamptz,
        duration_ms -> Nullable<BigInt>,
        status -> Nullable<Integer>,
        error -> Nullable<Text>,
        answer -> Nullable<Text>,
        outcome -> Nullable<Text>,
        trace_id -> Text,
    }
}

table! {
    receipts (id) {
        id -> Uuid,
        request_id -> Uuid,
        quantity -> BigInt,
        received_at -> Timestamptz,
        sku -> Nullable<Text>,
    }
}

table! {
    early_closings (request_id) {
        request_id -> Uuid,
        reason -> Text,
        closed_at -> Timestamptz,
    }
}

table! {
    factory_breakers (factory_id) {
        factory_id -> Text,
        position -> Text,
        failures_in_a_row -> BigInt,
        window_began_at -> Timestamptz,
        window_calls -> BigInt,
        window_failures -> BigInt,
        opened_at -> Nullable<Timestamptz>,
        probe_at -> Nullable<Timestamptz>,
        failed_probes -> BigInt,
        failed_at -> Nullable<Timestamptz>,
        last_error -> Nullable<Text>,
    }
}

allow_tables_to_appear_in_same_query!(factories, factory_breakers);
