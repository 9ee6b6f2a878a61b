//! Demo data: one shop with one factory and nine kinds of doughnuts. Existing data is left alone.

use anyhow::Context as _;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    api::Api,
    stack::{Service, Stack},
};

pub const FACTORY: &str = "FF-500293";
/// The product of the walkthrough: 3 on hand, ordered up to 10 when none is left.
pub const FIRST_SKU: &str = "CP-502101";

/// Fields that a PUT of a factory accepts; a GET returns more.
const FACTORY_SETTINGS: [&str; 12] = [
    "name",
    "base_url",
    "requester",
    "enabled",
    "timeout_ms",
    "max_in_flight",
    "rate_per_s",
    "lead_time_s",
    "overdue_factor",
    "fallback_factory_id",
    "retry_schedule",
    "callback_sources",
];

struct Product {
    sku: &'static str,
    name: &'static str,
    price: u64,
    on_sale: bool,
    opening: u64,
    reorder_point: u64,
    order_up_to: u64,
    lot_size: u64,
    mode: &'static str,
    shortage: &'static str,
    max_backordered: Option<u64>,
}

/// Numbers after the price: opening stock; then reorder point, order-up-to level and lot size.
const PRODUCTS: [Product; 9] = [
    product(FIRST_SKU, "부산도너츠", 19_900, 3, (0, 10, 10), "auto", "reject", None),
    product("CP-502102", "크림도너츠", 21_900, 60, (20, 100, 10), "auto", "reject", None),
    product("CP-502103", "초코도너츠", 22_900, 48, (30, 120, 12), "auto", "choice", Some(50)),
    product("CP-502104", "꽈배기", 12_900, 24, (10, 60, 6), "manual", "reject", None),
    product("CP-502105", "찹쌀도너츠", 14_900, 12, (5, 40, 20), "manual", "choice", Some(20)),
    product("CP-502106", "한정판 딸기도너츠", 25_900, 40, (0, 1, 1), "off", "reject", None),
    product("CP-502107", "도너츠 선물세트", 49_900, 5, (2, 20, 1), "off", "backorder", Some(10)),
    Product {
        on_sale: false,
        ..product("CP-502108", "지난 시즌 호박도너츠", 17_900, 7, (0, 10, 10), "off", "reject", None)
    },
    product(
        "ebb60806-b0bf-11ed-8e89-069658f3b1c6",
        "유기농 도너츠",
        29_900,
        100,
        (50, 250, 25),
        "auto",
        "backorder",
        None,
    ),
];

#[expect(clippy::too_many_arguments, reason = "a row of a table")]
const fn product(
    sku: &'static str,
    name: &'static str,
    price: u64,
    opening: u64,
    (reorder_point, order_up_to, lot_size): (u64, u64, u64),
    mode: &'static str,
    shortage: &'static str,
    max_backordered: Option<u64>,
) -> Product {
    Product {
        sku,
        name,
        price,
        on_sale: true,
        opening,
        reorder_point,
        order_up_to,
        lot_size,
        mode,
        shortage,
        max_backordered,
    }
}

/// Adds what is missing. Returns the number of products added.
pub async fn fill(stack: &Stack) -> anyhow::Result<usize> {
    let api = |service| Api::new(&stack.urls(service).api).with_token(stack.operator_token());
    put_factory(&api(Service::Production), &stack.factory_url()).await?;
    let sales = api(Service::Sales);
    let mut added = 0;
    for product in &PRODUCTS {
        if put_product(&sales, product).await? {
            added += 1;
        }
        open_stock(&sales, product).await?;
    }
    Ok(added)
}

/// Updates the simulator's address, whose port may have changed, and keeps all other settings of an operator.
async fn put_factory(production: &Api, base_url: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/factories/{FACTORY}");
    let known = production.get(&path).await?;
    let settings = if known.status == StatusCode::NOT_FOUND {
        json!({ "name": "부산도너츠 공장", "base_url": base_url, "lead_time_s": 40 })
    } else {
        let known = known.ok("look at the factory")?;
        if known["base_url"].as_str().map(|url| url.trim_end_matches('/')) == Some(base_url) {
            return Ok(());
        }
        let kept = FACTORY_SETTINGS.iter().filter_map(|name| Some(((*name).to_owned(), known.get(name)?.clone())));
        let mut settings: Map<String, Value> = kept.collect();
        settings.insert("base_url".to_owned(), json!(base_url));
        settings.into()
    };
    production.put(&path, &settings).await?.ok("set up the factory")?;
    Ok(())
}

/// Returns whether the product was new.
async fn put_product(sales: &Api, product: &Product) -> anyhow::Result<bool> {
    let known = sales.get(&format!("/api/v1/stock/{}", product.sku)).await?;
    if known.status != StatusCode::NOT_FOUND {
        known.ok("look at a product")?;
        return Ok(false);
    }
    let mut policy = json!({
        "reorder_point": product.reorder_point,
        "order_up_to": product.order_up_to,
        "lot_size": product.lot_size,
        "mode": product.mode,
        "shortage": product.shortage,
    });
    if let Some(max_backordered) = product.max_backordered {
        policy["max_backordered"] = json!(max_backordered);
    }
    let body = json!({
        "name": product.name,
        "price": { "amount": product.price, "currency": "KRW" },
        "factory_id": FACTORY,
        "on_sale": product.on_sale,
        "policy": policy,
    });
    sales.put(&format!("/api/v1/products/{}", product.sku), &body).await?.ok("add a product")?;
    Ok(true)
}

/// Books the opening stock once: only if the product has no movements, and under a fixed idempotency key, so that two
/// concurrent callers book it once.
async fn open_stock(sales: &Api, product: &Product) -> anyhow::Result<()> {
    let sku = product.sku;
    let movements = sales.get(&format!("/api/v1/stock/{sku}/movements?limit=1")).await?.ok("look at the ledger")?;
    if !movements["items"].as_array().context("the ledger's answer has no items")?.is_empty() {
        return Ok(());
    }
    let key = format!("demo-opening-{sku}");
    let body = json!({ "delta": product.opening, "reason": "correction", "note": "opening stock" });
    let path = format!("/api/v1/products/{sku}/adjustments");
    sales.post(&path, &[("Idempotency-Key", &key)], &body).await?.ok("book the opening stock")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_is_as_promised() {
        assert_eq!(PRODUCTS.len(), 9);
        let first = &PRODUCTS[0];
        assert_eq!((first.price, first.opening, first.order_up_to, first.mode), (19_900, 3, 10, "auto"));
        for product in &PRODUCTS {
            assert!(product.order_up_to > product.reorder_point && product.lot_size >= 1, "{}", product.sku);
        }
        for mode in ["auto", "manual", "off"] {
            assert!(PRODUCTS.iter().any(|product| product.mode == mode));
        }
        assert_eq!(PRODUCTS.iter().filter(|product| !product.on_sale).count(), 1);
        assert_eq!(PRODUCTS.iter().filter(|product| product.sku.len() == 36).count(), 1);
    }
}
