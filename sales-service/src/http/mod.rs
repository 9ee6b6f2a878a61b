//! The HTTP edge: wire types, validation, rendering.

pub mod decisions;
pub mod orders;
pub mod products;
pub mod replenishments;
pub mod stock;
pub mod timeline;
mod words;

use std::sync::Arc;

use actix_web::web::Data;
use jaego_contracts::ids::Sku;
use jaego_service::Routes;
use jaego_web::document;
use jaego_web::problem::{Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::commands::Context;
use crate::commands::take_orders::Intake;
use crate::settings::Shop;

/// State shared by the handlers.
#[derive(Clone)]
pub struct State {
    /// For commands and queries.
    pub context: Context,
    /// For orders.
    pub intake: Intake,
    pub shop: Shop,
}

pub fn routes(state: &State) -> Routes {
    let public = Data::new(state.clone());
    Routes {
        public: Arc::new(move |config| {
            config
                .app_data(public.clone())
                // Routes are matched in this order, so the most frequent ones come first.
                .service(orders::post_order)
                .service(orders::get_order)
                .service(products::list_products)
                .service(products::get_product);
        }),
        operator: Arc::new(|config| {
            config
                .service(products::put_product)
                .service(stock::adjust)
                .service(stock::list_stock)
                .service(stock::get_stock)
                .service(stock::list_movements)
                .service(decisions::get_decision)
                .service(decisions::snooze)
                .service(orders::list_orders)
                .service(orders::cancel)
                .service(replenishments::list_replenishments)
                .service(replenishments::post_replenishment)
                .service(replenishments::approve)
                .service(replenishments::close)
                .service(timeline::get_timeline);
        }),
        drop_abandoned: true,
        serve_as: |_| None,
        document: document(
            "Jaego sales-service",
            "Products, stock, orders and replenishments. Operator endpoints need a bearer token.",
        ),
    }
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Money {
    /// Minor units of the currency.
    #[schema(minimum = 0, example = 19900)]
    pub amount: i64,
    /// ISO 4217 code; one per installation.
    #[schema(example = "KRW")]
    pub currency: String,
}

impl Shop {
    /// An amount in the shop's currency.
    fn money(&self, amount: i64) -> Money {
        Money { amount, currency: self.currency.clone() }
    }
}

/// Parses the SKU in a path; 404 if it is malformed.
fn sku_in_path(text: &str) -> Result<Sku, Problem> {
    text.parse().map_err(|_| no_such_product())
}

fn no_such_product() -> Problem {
    Problem::new(ProblemKind::NotFound, "There is no such product.")
}

/// 422 for a field.
fn invalid(field: &str, must: &str) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("{field}: {must}.")).with("field", field)
}

/// Checks an optional text of at most `most` characters, without NUL.
fn bounded(field: &str, text: Option<String>, most: usize) -> Result<Option<String>, Problem> {
    match &text {
        Some(text) if text.chars().count() > most => {
            Err(invalid(field, &format!("must have at most {most} characters")))
        }
        Some(text) if text.contains('\0') => Err(invalid(field, "must not contain a NUL character")),
        _ => Ok(text),
    }
}
