//! The tables for diesel. A test compares them with the migrated database.

diesel::table! {
    products (sku) {
        sku -> Text,
        name -> Text,
        price -> BigInt,
        factory_id -> Text,
        on_sale -> Bool,
        reorder_point -> BigInt,
        order_up_to -> BigInt,
        lot_size -> BigInt,
        mode -> Text,
        shortage -> Text,
        max_backordered -> Nullable<BigInt>,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        max_per_order -> Nullable<BigInt>,
    }
}

diesel::table! {
    stock (sku) {
        sku -> Text,
        on_hand -> BigInt,
        backordered -> BigInt,
        on_order -> BigInt,
        replenish_not_before -> Nullable<Timestamptz>,
        refusals_in_a_row -> Integer,
        updated_at -> Timestamptz,
        snoozed_until -> Nullable<Timestamptz>,
        version -> BigInt,
    }
}

diesel::table! {
    stock_movements (id) {
        id -> Uuid,
        entry -> BigInt,
        sku -> Text,
        cause -> Text,
        delta -> BigInt,
        before -> BigInt,
        after -> BigInt,
        reference -> Text,
        actor -> Text,
        note -> Nullable<Text>,
        at -> Timestamptz,
    }
}

diesel::table! {
    orders (id) {
        id -> Uuid,
        status -> Text,
        customer -> Nullable<Text>,
        total -> BigInt,
        traceparent -> Text,
        created_at -> Timestamptz,
        key_hash -> Nullable<Binary>,
        fingerprint -> Nullable<Binary>,
        answer_status -> Nullable<SmallInt>,
        answer -> Nullable<Text>,
    }
}

diesel::table! {
    audited (sku) {
        sku -> Text,
        entry -> BigInt,
        on_hand -> BigInt,
    }
}

diesel::table! {
    incoming (id) {
        id -> BigInt,
        sku -> Text,
        cause -> Text,
        units -> BigInt,
        reference -> Text,
        actor -> Text,
        note -> Nullable<Text>,
        traceparent -> Text,
        arrived_at -> Timestamptz,
    }
}

diesel::table! {
    order_lines (order_id, id) {
        id -> BigInt,
        order_id -> Uuid,
        sku -> Text,
        quantity -> BigInt,
        filled -> BigInt,
        waiting -> BigInt,
        unit_price -> BigInt,
    }
}

diesel::table! {
    replenishments (id) {
        id -> Uuid,
        sku -> Text,
        factory_id -> Text,
        quantity -> BigInt,
        received -> BigInt,
        status -> Text,
        reason -> Text,
        explanation -> Text,
        revision -> BigInt,
        position_before -> Nullable<BigInt>,
        on_order_before -> Nullable<BigInt>,
        entry -> BigInt,
        ordered_at -> Nullable<Timestamptz>,
        accepted_at -> Nullable<Timestamptz>,
        traceparent -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        status_since -> Nullable<Timestamptz>,
        heard_at -> Timestamptz,
        asks -> SmallInt,
    }
}

diesel::table! {
    order_replenishments (order_id, replenishment_id) {
        order_id -> Uuid,
        replenishment_id -> Uuid,
        covers -> Bool,
    }
}

diesel::table! {
    factories (factory_id) {
        factory_id -> Text,
        name -> Text,
        enabled -> Bool,
        lead_time_s -> BigInt,
        lead_time_p50_s -> Nullable<BigInt>,
        lead_time_p90_s -> Nullable<BigInt>,
        revision -> BigInt,
    }
}

diesel::table! {
    receipts_applied (receipt_id) {
        receipt_id -> Uuid,
        request_id -> Uuid,
        sku -> Text,
        quantity -> BigInt,
        received_at -> Timestamptz,
        applied_at -> Timestamptz,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    products,
    stock,
    stock_movements,
    orders,
    order_lines,
    replenishments,
    order_replenishments,
    factories,
    receipts_applied,
    incoming,
);
