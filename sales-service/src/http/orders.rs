//! `POST /api/v1/orders`, `GET /api/v1/orders/{id}`.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use jaego_contracts::ids::{OrderId, Quantity, Sku};
use jaego_service::idempotency::{KeptAnswer, KeyUse, fingerprint};
use jaego_service::outbox_full;
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::{Problem, ProblemBody, ProblemKind};
use jaego_web::trace_of;
use jaego_web::{IdempotencyKey, Listener, PageQuery, Paged, RawJson, check_word, parse_strict};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Money, State, bounded, invalid, words};
use crate::commands::Asked;
use crate::commands::cancel_order::cancel_order;
use crate::commands::look_up::{self, OrderFilter, OrderLineRow, OrderView, RestockEtas};
use crate::commands::take_orders::{
    Decided, DecidedLine, NewOrder, OnShortage as Wish, OrderRequest, OrderStatus, Render,
};
use crate::settings::Shop;

const ENDPOINT: &str = "POST /api/v1/orders";
const LIST: &str = "orders";
const LINES_MAX: usize = 50;
const CUSTOMER_LENGTH_MAX: usize = 200;

/// An order as a shopper sends it.
#[derive(Debug, Deserialize, ToSchema)]
pub struct OrderBody {
    /// 1 to 50 lines; lines with the same SKU are added up.
    #[schema(min_items = 1, max_items = 50)]
    lines: Vec<OrderBodyLine>,
    /// The customer, as the shop identifies them.
    #[schema(max_length = 200, pattern = "^[^\\u0000]*$", example = "kim")]
    customer: Option<String>,
    /// Action when stock is short; if absent, the policy of each product applies.
    on_shortage: Option<OnShortage>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct OrderBodyLine {
    sku: Sku,
    quantity: Quantity,
}

/// Action when stock is short.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnShortage {
    /// Refuse the order.
    Reject,
    /// Accept the order, and deliver when there is stock.
    Backorder,
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Order {
    id: Uuid,
    #[schema(value_type = words::OrderStatus)]
    status: String,
    /// The customer, as the shop identifies them.
    #[schema(required, example = "kim")]
    customer: Option<String>,
    lines: Vec<OrderLine>,
    total: Money,
    /// The replenishments that cover the units that this order waits for, or has waited for.
    replenishment_ids: Vec<Uuid>,
    created_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
struct OrderLine {
    #[schema(example = "CP-502101")]
    sku: String,
    #[schema(example = 1)]
    quantity: i64,
    /// Units taken from stock so far.
    #[schema(example = 1)]
    filled: i64,
    unit_price: Money,
    /// Expected arrival of the units that the line waits for; null if it waits for none, or if unknown.
    restock_eta: Option<DateTime<Utc>>,
}

/// A line that stock could not fill.
#[derive(Debug, Serialize, ToSchema)]
struct ShortLine {
    #[schema(example = "CP-502101")]
    sku: String,
    #[schema(example = 1)]
    requested: i64,
    #[schema(example = 0)]
    available: i64,
    /// Expected arrival of more units; null if unknown.
    #[schema(required)]
    restock_eta: Option<DateTime<Utc>>,
}

/// The order was refused because stock could not fill it.
#[derive(ToSchema)]
#[schema(example = json!({
    "type": "/problems/out-of-stock", "title": "Out of stock", "status": 409,
    "detail": "Not enough stock, so nothing was reserved. Order fewer units, or try again after restocking.",
    "instance": "/api/v1/orders", "trace_id": "948201e16e0450bf03af103fe5fca74b",
    "order_id": "01a2051b-cedc-7700-a805-c2579d04fa50",
    "lines": [{"sku": "CP-502101", "requested": 1, "available": 0, "restock_eta": "2026-11-22T21:14:38.220599Z"}],
}))]
#[expect(dead_code, reason = "documentation: problems are written by their type")]
struct OutOfStock {
    #[serde(flatten)]
    problem: ProblemBody,
    /// Id of the refused order, which is stored as demand.
    order_id: OrderId,
    /// The lines that stock could not fill.
    lines: Vec<ShortLine>,
}

/// Place an order: all lines are accepted, or none.
#[utoipa::path(
    tag = "orders",
    operation_id = "placeOrder",
    request_body(content = OrderBody, example = json!({"lines": [{"sku": "CP-502101", "quantity": 1}], "customer": "kim"})),
    params(IdempotencyKey),
    responses(
        (status = 201, description = "Confirmed: all units were taken from stock.", body = Order),
        (status = 202, description = "Backordered: accepted, but some units wait for stock.", body = Order, example = json!({
            "status": "backordered",
            "lines": [{
                "sku": "CP-502101", "quantity": 5, "filled": 3, "unit_price": {"amount": 19900, "currency": "KRW"}
            }],
            "total": {"amount": 99500, "currency": "KRW"},
        })),
        (status = 409, description = "`out-of-stock`: The order was refused, and no stock was taken.", body = OutOfStock, content_type = "application/problem+json"),
        (status = 422, description = "`unknown-product`, `invalid-request` or `idempotency-key-reused`."),
        (status = 503, description = "`overloaded` or `unavailable`: The order was not taken; order again after `Retry-After` seconds. `outcome-unknown`, with `order_id`: Repeat the request with the same key, or look the order up."),
    ),
)]
#[post("/api/v1/orders")]
pub async fn post_order(
    state: Data<State>,
    key: IdempotencyKey,
    listener: Listener,
    body: RawJson,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    // Refuses before any work is done.
    state.intake.admit()?;
    let order: OrderBody = parse_strict(&body.0)?;
    let key =
        key.0.map(|key| KeyUse { endpoint: ENDPOINT, caller: String::new(), key, fingerprint: fingerprint(&body.0) });
    if let Err(full) = state.context.outbox.admit() {
        // A stored answer needs no room in the outbox.
        let known = match &key {
            Some(used) => state.intake.known_answer(used).await?,
            None => None,
        };
        return known.map(|answered| answered.respond(&request)).ok_or_else(|| outbox_full(full));
    }
    let order_request = OrderRequest {
        customer: bounded("customer", order.customer, CUSTOMER_LENGTH_MAX)?,
        order: NewOrder {
            id: OrderId::generate(),
            lines: distinct_lines(order.lines)?,
            on_shortage: order.on_shortage.map(|wish| match wish {
                OnShortage::Reject => Wish::Reject,
                OnShortage::Backorder => Wish::Backorder,
            }),
            is_limited: listener == Listener::Public,
        },
        key,
        trace: trace_of(&request),
    };
    let answered = state.intake.take(order_request).await?;
    Ok(answered.respond(&request))
}

/// Checks the number of lines. Lines of the same SKU are summed at the position of the first.
fn distinct_lines(lines: Vec<OrderBodyLine>) -> Result<Vec<(Sku, Quantity)>, Problem> {
    if !(1..=LINES_MAX).contains(&lines.len()) {
        return Err(invalid("lines", "must have 1 to 50 entries"));
    }
    let mut summed: Vec<(Sku, i64)> = Vec::with_capacity(lines.len());
    for line in lines {
        match summed.iter_mut().find(|(sku, _)| *sku == line.sku) {
            Some((_, units)) => *units += line.quantity.get(),
            None => summed.push((line.sku, line.quantity.get())),
        }
    }
    let checked = summed.into_iter().map(|(sku, units)| {
        let quantity = Quantity::try_from(units);
        quantity
            .map(|quantity| (sku, quantity))
            .map_err(|error| invalid("lines", &format!("the sum of one SKU {error}")))
    });
    checked.collect()
}

/// Get an order. Knowing its id is enough; no token is needed.
#[utoipa::path(
    tag = "orders",
    operation_id = "getOrder",
    params(("id" = Uuid, Path, description = "The order.")),
    responses(
        (status = 200, description = "The order.", body = Order),
        (status = 404, description = "`not-found`: There is no such order."),
    ),
)]
#[get("/api/v1/orders/{id}")]
pub async fn get_order(state: Data<State>, id: Path<Uuid>) -> Result<HttpResponse, Problem> {
    let found = look_up::order(&state.context, OrderId(*id)).await?;
    let unknown = || Problem::new(ProblemKind::NotFound, format!("There is no order {id}."));
    let (view, etas) = found.ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(Order::of_view(&state.shop, view, &etas)))
}

/// Filter of the list of orders.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Only orders in this status.
    #[param(value_type = Option<words::OrderStatus>)]
    status: Option<String>,
    /// Only orders with a line of this product.
    sku: Option<Sku>,
}

/// List orders, newest first. Refused orders are included, because they are demand too.
#[utoipa::path(
    tag = "orders",
    operation_id = "listOrders",
    security(("operator" = [])),
    params(ListQuery, PageQuery),
    responses((status = 200, description = "A page of orders.", body = Paged<Order>)),
)]
#[get("/api/v1/orders")]
pub async fn list_orders(
    _: Viewer,
    state: Data<State>,
    query: Query<ListQuery>,
    page: Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    check_word("status", query.status.as_deref(), words::OrderStatus::ALL)?;
    let page = page.page(LIST)?;
    let before = page.after_id()?;
    let filter = OrderFilter { status: query.status.as_deref(), sku: query.sku.as_ref().map(Sku::as_str), before };
    let (views, etas) = look_up::orders(&state.context, filter, page.fetch()).await?;
    let items: Vec<Order> = views.into_iter().map(|view| Order::of_view(&state.shop, view, &etas)).collect();
    Ok(HttpResponse::Ok().json(page.answer(LIST, items, |order| order.id.to_string())))
}

/// Cancel an order and return its units to stock, once. A cancelled order is returned unchanged.
#[utoipa::path(
    tag = "orders",
    operation_id = "cancelOrder",
    security(("operator" = [])),
    params(("id" = Uuid, Path, description = "The order.")),
    responses(
        (status = 200, description = "The order, cancelled.", body = Order, example = json!({"status": "cancelled"})),
        (status = 404, description = "`not-found`: There is no such order."),
        (status = 409, description = "`conflict`: The order was refused, so there is nothing to cancel."),
    ),
)]
#[post("/api/v1/orders/{id}/cancel")]
pub async fn cancel(
    operator: Operator,
    state: Data<State>,
    id: Path<Uuid>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked = Asked::plainly(&operator.name, trace_of(&request));
    let view = cancel_order(&state.context, OrderId(*id), asked).await?;
    // A cancelled order waits for nothing, so there are no dates.
    Ok(HttpResponse::Ok().json(Order::of_view(&state.shop, view, &RestockEtas::new())))
}

impl Order {
    fn of_view(shop: &Shop, view: OrderView, etas: &RestockEtas) -> Self {
        let line = |line: OrderLineRow| OrderLine {
            restock_eta: etas.get(&(view.order.id, line.sku.clone())).copied(),
            sku: line.sku,
            quantity: line.quantity,
            filled: line.filled,
            unit_price: shop.money(line.unit_price),
        };
        Self {
            id: view.order.id,
            status: view.order.status,
            customer: view.order.customer,
            lines: view.lines.into_iter().map(line).collect(),
            total: shop.money(view.order.total),
            replenishment_ids: view.replenishment_ids,
            created_at: view.order.created_at,
        }
    }

    fn of_decided(shop: &Shop, decided: &Decided<'_>) -> Self {
        let line = |line: &DecidedLine| OrderLine {
            restock_eta: eta(line).filter(|_| line.waiting > 0),
            sku: line.sku.to_string(),
            quantity: line.quantity.get(),
            filled: line.filled,
            unit_price: shop.money(line.unit_price),
        };
        Self {
            id: decided.order.id.0,
            status: decided.order.status.name().to_owned(),
            customer: decided.request.customer.clone(),
            lines: decided.order.lines.iter().map(line).collect(),
            total: shop.money(decided.order.total()),
            replenishment_ids: decided.order.replenishments.iter().map(|id| id.0).collect(),
            created_at: decided.at,
        }
    }

    /// The order as it was when it was confirmed at once, whatever happened to it since.
    fn as_confirmed(shop: &Shop, view: OrderView) -> Self {
        let mut order = Self::of_view(shop, view, &RestockEtas::new());
        OrderStatus::Confirmed.name().clone_into(&mut order.status);
        order.lines.iter_mut().for_each(|line| line.filled = line.quantity);
        order
    }
}

fn eta(line: &DecidedLine) -> Option<DateTime<Utc>> {
    line.restock_eta.and_then(DateTime::from_timestamp_micros)
}

/// Renders the answers to decided orders.
pub struct Renderer(pub Shop);

impl Render for Renderer {
    fn decided(&self, decided: &Decided<'_>) -> KeptAnswer {
        let status = match decided.order.status {
            OrderStatus::Rejected => {
                return KeptAnswer { status: 409, body: out_of_stock(decided).to_value().to_string() };
            }
            OrderStatus::Backordered => 202,
            OrderStatus::Confirmed | OrderStatus::Cancelled => 201,
        };
        kept(status, &Order::of_decided(&self.0, decided))
    }

    fn confirmed(&self, order: OrderView) -> KeptAnswer {
        kept(201, &Order::as_confirmed(&self.0, order))
    }
}

fn kept(status: u16, order: &Order) -> KeptAnswer {
    // The type holds only strings, numbers and times, so serialization cannot fail.
    KeptAnswer { status, body: serde_json::to_string(order).unwrap_or_default() }
}

fn out_of_stock(decided: &Decided<'_>) -> Problem {
    let short = decided.order.lines.iter().filter(|line| line.quantity.get() > line.available);
    let lines: Vec<ShortLine> = short
        .map(|line| ShortLine {
            sku: line.sku.to_string(),
            requested: line.quantity.get(),
            available: line.available,
            restock_eta: eta(line),
        })
        .collect();
    let detail = "Not enough stock, so nothing was reserved. Order fewer units, or try again after restocking.";
    Problem::new(ProblemKind::OutOfStock, detail).with("order_id", decided.order.id).with("lines", lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sku: &str, units: i64) -> OrderBodyLine {
        OrderBodyLine { sku: sku.parse().expect("sku"), quantity: Quantity::try_from(units).expect("quantity") }
    }

    #[test]
    fn a_sku_that_comes_twice_is_summed() {
        let lines = distinct_lines(vec![line("A", 1), line("B", 2), line("A", 3)]).expect("valid");
        let lines: Vec<_> = lines.iter().map(|(sku, units)| (sku.as_str(), units.get())).collect();
        assert_eq!(lines, [("A", 4), ("B", 2)]);
    }

    #[test]
    fn the_number_of_lines_and_their_sums_are_bounded() {
        assert!(distinct_lines(Vec::new()).is_err());
        assert!(distinct_lines((0..51).map(|_| line("A", 1)).collect()).is_err());
        assert!(distinct_lines(vec![line("A", 1_000_000), line("A", 1)]).is_err());
    }
}
