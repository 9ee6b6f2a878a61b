//! `/api/v1/products`.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, http::header, put};
use chrono::{DateTime, Utc};
use jaego_contracts::ids::{FactoryId, Sku};
use jaego_web::auth::Operator;
use jaego_web::problem::Problem;
use jaego_web::trace_of;
use jaego_web::{IfMatch, PageQuery, Paged, RawJson, etag, parse_strict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Money, State, bounded, invalid, no_such_product, sku_in_path, words};
use crate::commands::Asked;
use crate::commands::look_up::{self, StockFilter, StockView};
use crate::commands::put_product::{Mode, Policy, Product as NewProduct, ProductRow, Shortage, put_product as put};
use crate::settings::Shop;

const LIST: &str = "products";
const NAME_LENGTH_MAX: usize = 200;
const PRICE_MAX: i64 = 1_000_000_000;
/// A product is shown as low at or below this many units, or at or below the reorder point if that is higher.
const LOW: i64 = 3;

/// A product as shoppers see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "low"}))]
pub struct Product {
    #[schema(example = "CP-502101")]
    sku: String,
    #[schema(example = "부산도너츠")]
    name: String,
    price: Money,
    /// Units that can be sold now.
    #[schema(example = 3)]
    available: i64,
    #[schema(value_type = words::ProductStatus)]
    status: &'static str,
    /// Expected arrival of a unit that is ordered now, if none is on hand; null if unknown.
    #[schema(required)]
    restock_eta: Option<DateTime<Utc>>,
    /// Maximum units per order.
    #[schema(example = 1000)]
    max_per_order: i64,
    /// Treatment of an order that stock cannot fill.
    shortage: ShortageWord,
}

/// A product as an operator sets it.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ProductBody {
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$",
        example = "부산도너츠"
    )]
    name: String,
    price: Price,
    /// The factory that makes it; need not exist yet.
    factory_id: FactoryId,
    /// True if shoppers see the product; default: true.
    #[serde(default = "yes")]
    #[schema(example = true)]
    on_sale: bool,
    /// Maximum units per order of a shopper; if absent, the shop's limit for all products applies.
    #[schema(minimum = 1, maximum = 1_000_000, example = 20)]
    max_per_order: Option<i64>,
    policy: PolicyBody,
}

/// The price of one unit.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Price {
    /// Minor units of the currency.
    #[schema(minimum = 0, maximum = 1_000_000_000, example = 19900)]
    amount: i64,
    /// ISO 4217 code of the shop's currency.
    #[schema(example = "KRW")]
    currency: String,
}

fn yes() -> bool {
    true
}

/// Replenishment policy, in units.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyBody {
    /// Order when the inventory position is at or below this.
    #[schema(minimum = 0, maximum = 999_999, example = 0)]
    reorder_point: i64,
    /// Order up to this inventory position.
    #[schema(minimum = 1, maximum = 1_000_000, example = 10)]
    order_up_to: i64,
    /// Order in multiples of this.
    #[schema(minimum = 1, maximum = 1_000_000, example = 10)]
    lot_size: i64,
    mode: ModeWord,
    shortage: ShortageWord,
    /// Maximum backordered units; if absent, the shop's limit for all products applies.
    #[schema(minimum = 0, maximum = 1_000_000, example = 500)]
    max_backordered: Option<i64>,
}

/// Decision mode of replenishments.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ModeWord {
    /// Jaego orders.
    Auto,
    /// Jaego proposes, and an operator approves.
    Manual,
    /// Nothing is ordered automatically.
    Off,
}

/// Treatment of an order that stock cannot fill.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ShortageWord {
    /// Refused, whatever the order says.
    Reject,
    /// Accepted for later delivery, unless the order says `reject`.
    Backorder,
    /// Accepted for later delivery only if the order says `backorder`.
    Choice,
}

impl From<Shortage> for ShortageWord {
    fn from(shortage: Shortage) -> Self {
        match shortage {
            Shortage::Reject => Self::Reject,
            Shortage::Backorder => Self::Backorder,
            Shortage::Choice => Self::Choice,
        }
    }
}

/// A product as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductDetails {
    #[schema(example = "CP-502101")]
    sku: String,
    #[schema(example = "부산도너츠")]
    name: String,
    price: Money,
    #[schema(example = "FF-500293")]
    factory_id: String,
    /// True if shoppers see the product.
    #[schema(example = true)]
    on_sale: bool,
    /// Maximum units per order of a shopper; null: the shop's limit for all products applies.
    #[schema(required, example = 20)]
    max_per_order: Option<i64>,
    policy: PolicyBody,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl PolicyBody {
    fn parse(&self) -> Result<Policy, Problem> {
        let mode = match self.mode {
            ModeWord::Auto => Mode::Auto,
            ModeWord::Manual => Mode::Manual,
            ModeWord::Off => Mode::Off,
        };
        let shortage = match self.shortage {
            ShortageWord::Reject => Shortage::Reject,
            ShortageWord::Backorder => Shortage::Backorder,
            ShortageWord::Choice => Shortage::Choice,
        };
        Policy::new(self.reorder_point, self.order_up_to, self.lot_size, mode, shortage, self.max_backordered)
            .map_err(|error| invalid(&format!("policy.{}", error.field), error.must))
    }

    pub(super) fn of_row(row: &ProductRow) -> Self {
        Self {
            reorder_point: row.reorder_point,
            order_up_to: row.order_up_to,
            lot_size: row.lot_size,
            mode: match Mode::of_name(&row.mode) {
                Some(Mode::Auto) => ModeWord::Auto,
                Some(Mode::Manual) => ModeWord::Manual,
                Some(Mode::Off) | None => ModeWord::Off,
            },
            shortage: Shortage::of_name(&row.shortage).unwrap_or(Shortage::Reject).into(),
            max_backordered: row.max_backordered,
        }
    }
}

impl ProductBody {
    fn parse(&self, shop: &Shop, sku: Sku) -> Result<NewProduct, Problem> {
        let name = bounded("name", Some(self.name.clone()), NAME_LENGTH_MAX)?.unwrap_or_default();
        if name.trim().is_empty() {
            return Err(invalid("name", "must not be empty"));
        }
        if self.price.currency != shop.currency {
            return Err(invalid("price.currency", &format!("must be {}, like all prices in this shop", shop.currency)));
        }
        if !(0..=PRICE_MAX).contains(&self.price.amount) {
            return Err(invalid("price.amount", "must be 0 to 1000000000 minor units"));
        }
        let ceiling = shop.max_per_order_ceiling;
        if self.max_per_order.is_some_and(|most| !(1..=ceiling).contains(&most)) {
            return Err(invalid("max_per_order", &format!("must be 1 to {ceiling}, or absent")));
        }
        let (max_per_order, policy) = (self.max_per_order, self.policy.parse()?);
        let (price, factory_id) = (self.price.amount, self.factory_id.clone());
        Ok(NewProduct { sku, name, price, factory_id, on_sale: self.on_sale, max_per_order, policy })
    }
}

impl Product {
    fn of(state: &State, view: StockView) -> Self {
        let (shortage, limits) = (view.state.policy.shortage(), state.context.limits);
        let (available, restock_eta) = (view.stock.on_hand, view.restock_eta(Utc::now()));
        let status = match available {
            0 if shortage != Shortage::Reject && view.state.backorder_room(limits) > 0 => "backorder",
            0 => "sold_out",
            units if units <= LOW.max(view.product.reorder_point) => "low",
            _ => "in_stock",
        };
        Self {
            sku: view.product.sku,
            name: view.product.name,
            price: state.shop.money(view.product.price),
            max_per_order: view.product.max_per_order.unwrap_or(limits.max_per_order),
            shortage: shortage.into(),
            available,
            status,
            restock_eta,
        }
    }
}

/// List products on sale, ordered by SKU.
#[utoipa::path(
    tag = "products",
    operation_id = "listProducts",
    params(PageQuery),
    responses((status = 200, description = "A page of products.", body = Paged<Product>)),
)]
#[get("/api/v1/products")]
pub async fn list_products(state: Data<State>, query: Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let page = query.page(LIST)?;
    let filter = StockFilter { only_on_sale: true, after: page.after.as_deref(), ..StockFilter::default() };
    let views = look_up::stock(&state.context, filter, page.fetch()).await?;
    let products: Vec<Product> = views.into_iter().map(|view| Product::of(&state, view)).collect();
    Ok(HttpResponse::Ok().json(page.answer(LIST, products, |product| product.sku.clone())))
}

/// Get a product on sale.
#[utoipa::path(
    tag = "products",
    operation_id = "getProduct",
    params(("sku" = Sku, Path, description = "The product.")),
    responses(
        (status = 200, description = "The product.", body = Product),
        (status = 404, description = "`not-found`: There is no such product, or it is not on sale."),
    ),
)]
#[get("/api/v1/products/{sku}")]
pub async fn get_product(state: Data<State>, sku: Path<String>) -> Result<HttpResponse, Problem> {
    let sku = sku_in_path(&sku)?;
    let filter = StockFilter { skus: Some(&[sku.as_str()]), only_on_sale: true, ..StockFilter::default() };
    let view = look_up::stock(&state.context, filter, 1).await?.into_iter().next().ok_or_else(no_such_product)?;
    Ok(HttpResponse::Ok().json(Product::of(&state, view)))
}

/// Add a product with no stock, or change one. The stock on hand is not changed.
#[utoipa::path(
    tag = "products",
    operation_id = "putProduct",
    security(("operator" = [])),
    params(("sku" = Sku, Path, description = "The product."), IfMatch),
    request_body(content = ProductBody, example = json!({
        "name": "부산도너츠", "price": {"amount": 19900, "currency": "KRW"}, "factory_id": "FF-500293",
        "policy": {"reorder_point": 0, "order_up_to": 10, "lot_size": 10, "mode": "auto", "shortage": "reject"},
    })),
    responses(
        (status = 200, description = "Changed.", body = ProductDetails, headers(("ETag" = String, description = "Version of the product."))),
        (status = 201, description = "Added.", body = ProductDetails, headers(("ETag" = String, description = "Version of the product."))),
        (status = 412, description = "`precondition-failed`: The product has changed; read it again and repeat the change."),
    ),
)]
#[put("/api/v1/products/{sku}")]
pub async fn put_product(
    operator: Operator,
    state: Data<State>,
    sku: Path<String>,
    if_match: IfMatch,
    body: RawJson,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let sku: Sku =
        sku.parse().map_err(|error: jaego_contracts::ids::InvalidCode| invalid("sku", &error.to_string()))?;
    let product = parse_strict::<ProductBody>(&body.0)?.parse(&state.shop, sku)?;
    let detail = serde_json::from_slice(&body.0).unwrap_or_default();
    let asked = Asked { actor: &operator.name, key: None, reason: None, detail, trace: trace_of(&request) };
    let put = put(&state.context, product, if_match, asked).await?;
    let mut response = if put.is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    let details = ProductDetails {
        price: state.shop.money(put.row.price),
        policy: PolicyBody::of_row(&put.row),
        sku: put.row.sku,
        name: put.row.name,
        factory_id: put.row.factory_id,
        on_sale: put.row.on_sale,
        max_per_order: put.row.max_per_order,
        created_at: put.row.created_at,
        updated_at: put.row.updated_at,
    };
    Ok(response.insert_header((header::ETAG, etag(put.row.version))).json(details))
}
