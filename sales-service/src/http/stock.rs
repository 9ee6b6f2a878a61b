//! `/api/v1/stock` and adjustments.

use actix_web::http::header::{self, Accept, Header};
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, post};
use chrono::{DateTime, Utc};
use futures::stream;
use jaego_contracts::ids::{Sku, UNITS_MAX};
use jaego_service::idempotency::{KeptAnswer, KeyUse, fingerprint};
use jaego_web::auth::{Operator, Viewer};
use jaego_web::problem::Problem;
use jaego_web::trace_of;
use jaego_web::{IdempotencyKey, PageQuery, Paged, RawJson, etag, parse_strict};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::products::PolicyBody;
use super::{Money, State, bounded, invalid, no_such_product, sku_in_path, words};
use crate::commands::Asked;
use crate::commands::adjust_stock::{Adjusted, Adjustment, Cause, adjust_stock};
use crate::commands::look_up::{self, MovementRow, StockFilter, StockView};
use crate::settings::Shop;

const STOCK: &str = "stock";
const MOVEMENTS: &str = "movements";
const NOTE_LENGTH_MAX: usize = 500;

/// Stock figures of a product, in units, and its settings: everything that a PUT of the product takes.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stock {
    #[schema(example = "CP-502101")]
    sku: String,
    #[schema(example = "부산도너츠")]
    name: String,
    price: Money,
    /// The factory that makes it.
    #[schema(example = "FF-500293")]
    factory_id: String,
    /// True if shoppers see the product.
    #[schema(example = true)]
    on_sale: bool,
    /// Maximum units per order of a shopper; null: the shop's limit for all products applies.
    #[schema(required, example = 20)]
    max_per_order: Option<i64>,
    /// Units in the warehouse.
    #[schema(example = 3)]
    on_hand: i64,
    /// Units sold that wait for stock.
    #[schema(example = 0)]
    backordered: i64,
    /// Units requested from a factory and not yet added to stock or assigned to waiting orders.
    #[schema(example = 10)]
    on_order: i64,
    /// On hand + on order - backordered.
    #[schema(example = 13)]
    position: i64,
    /// Units that can be sold now: those on hand.
    #[schema(example = 3)]
    available: i64,
    policy: PolicyBody,
    updated_at: DateTime<Utc>,
}

impl Stock {
    fn of(shop: &Shop, view: StockView) -> Self {
        let figures = view.stock.figures();
        Self {
            policy: PolicyBody::of_row(&view.product),
            price: shop.money(view.product.price),
            name: view.product.name,
            factory_id: view.product.factory_id,
            on_sale: view.product.on_sale,
            max_per_order: view.product.max_per_order,
            sku: view.stock.sku,
            on_hand: figures.on_hand,
            backordered: figures.backordered,
            on_order: figures.on_order,
            position: figures.position(),
            available: figures.on_hand,
            updated_at: view.stock.updated_at,
        }
    }
}

/// An entry of the stock ledger.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"cause": "cycle_count"}))]
pub struct MovementEntry {
    id: Uuid,
    #[schema(example = "CP-502101")]
    sku: String,
    #[schema(value_type = words::MovementCause)]
    cause: String,
    /// Units, signed.
    #[schema(example = -3)]
    delta: i64,
    /// On hand before.
    #[schema(example = 10)]
    before: i64,
    /// On hand after.
    #[schema(example = 7)]
    after: i64,
    /// The order, receipt or adjustment.
    #[schema(example = "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3")]
    reference: String,
    /// `shop`, `factory` or an operator.
    #[schema(example = "kim")]
    actor: String,
    /// The operator's note.
    #[schema(required, example = "shelf 4")]
    note: Option<String>,
    at: DateTime<Utc>,
}

impl From<MovementRow> for MovementEntry {
    fn from(row: MovementRow) -> Self {
        let MovementRow { id, entry: _, sku, cause, delta, before, after, reference, actor, note, at } = row;
        Self { id, sku, cause, delta, before, after, reference, actor, note, at }
    }
}

/// A change of the stock on hand by an operator.
#[derive(Debug, Deserialize, ToSchema)]
pub struct AdjustmentBody {
    /// Units, signed, not zero.
    #[schema(minimum = -1_000_000, maximum = 1_000_000, example = -3)]
    delta: i64,
    reason: AdjustmentReason,
    /// A note for the ledger.
    #[schema(max_length = 500, pattern = "^[^\\u0000]*$", example = "shelf 4")]
    note: Option<String>,
}

/// Reason for a change of the stock on hand.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AdjustmentReason {
    /// A count found a different number of units.
    CycleCount,
    /// Broken or lost.
    Damage,
    /// Returned by a customer.
    Return,
    /// An earlier entry was wrong; also used for opening stock.
    Correction,
}

/// List the stock figures of all products, ordered by SKU.
#[utoipa::path(
    tag = "stock",
    operation_id = "listStock",
    security(("operator" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of stock figures.", body = Paged<Stock>)),
)]
#[get("/api/v1/stock")]
pub async fn list_stock(_: Viewer, state: Data<State>, query: Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let page = query.page(STOCK)?;
    let filter = StockFilter { after: page.after.as_deref(), ..StockFilter::default() };
    let views = look_up::stock(&state.context, filter, page.fetch()).await?;
    let rows: Vec<Stock> = views.into_iter().map(|view| Stock::of(&state.shop, view)).collect();
    Ok(HttpResponse::Ok().json(page.answer(STOCK, rows, |stock| stock.sku.clone())))
}

/// Get the stock figures of a product.
#[utoipa::path(
    tag = "stock",
    operation_id = "getStock",
    security(("operator" = [])),
    params(("sku" = Sku, Path, description = "The product.")),
    responses(
        (status = 200, description = "The product's figures and settings.", body = Stock, headers(("ETag" = String, description = "Version of the settings, for a PUT of the product."))),
        (status = 404, description = "`not-found`: There is no such product."),
    ),
)]
#[get("/api/v1/stock/{sku}")]
pub async fn get_stock(_: Viewer, state: Data<State>, sku: Path<String>) -> Result<HttpResponse, Problem> {
    let sku = sku_in_path(&sku)?;
    let filter = StockFilter { skus: Some(&[sku.as_str()]), ..StockFilter::default() };
    let view = look_up::stock(&state.context, filter, 1).await?.into_iter().next().ok_or_else(no_such_product)?;
    let version = view.product.version;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(version))).json(Stock::of(&state.shop, view)))
}

/// List the stock ledger of a product, newest entry first; with `Accept: text/csv`, the whole ledger as CSV.
#[utoipa::path(
    tag = "stock",
    operation_id = "listStockMovements",
    security(("operator" = [])),
    params(("sku" = Sku, Path, description = "The product."), PageQuery),
    responses(
        (status = 200, description = "A page of entries, or the whole ledger as CSV.", content(
            (Paged<MovementEntry> = "application/json"),
            (String = "text/csv", example = json!(CSV_EXAMPLE)),
        )),
        (status = 404, description = "`not-found`: There is no such product."),
    ),
)]
#[get("/api/v1/stock/{sku}/movements")]
pub async fn list_movements(
    _: Viewer,
    state: Data<State>,
    sku: Path<String>,
    query: Query<PageQuery>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let sku = sku_in_path(&sku)?;
    if wants_csv(&request) {
        return as_csv(state, sku).await;
    }
    // A ledger's cursor belongs to its product.
    let list = format!("{MOVEMENTS}/{sku}");
    let page = query.page(&list)?;
    let before = page.after.as_deref().map(str::parse).transpose();
    let before: Option<i64> =
        before.map_err(|_| invalid("cursor", "not a cursor of this list; start again without one"))?;
    let rows = look_up::movements(&state.context, &sku, before, page.fetch()).await?.ok_or_else(no_such_product)?;
    let paged = page.answer(&list, rows, |row| row.entry.to_string());
    let items = paged.items.into_iter().map(MovementEntry::from).collect();
    Ok(HttpResponse::Ok().json(Paged { items, next_cursor: paged.next_cursor }))
}

const CSV_EXAMPLE: &str = "id,sku,cause,delta,before,after,reference,actor,note,at\n\
    01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3,CP-502101,cycle_count,-3,10,7,\
    01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3,kim,shelf 4,2026-11-22T21:14:38.298478Z\n";

/// Returns true if the client prefers CSV to JSON.
fn wants_csv(request: &HttpRequest) -> bool {
    let ranked = Accept::parse(request).map(|accept| accept.ranked()).unwrap_or_default();
    let kinds = ["text/csv", "application/json", "application/*", "*/*"];
    ranked.iter().find(|kind| kinds.contains(&kind.essence_str())).is_some_and(|kind| kind.essence_str() == "text/csv")
}

const CSV_HEAD: [&str; 10] = ["id", "sku", "cause", "delta", "before", "after", "reference", "actor", "note", "at"];
/// Entries per chunk of the table.
const CSV_ENTRIES: i64 = 1000;

/// Streams the whole ledger in chunks, so that memory use does not grow with it.
async fn as_csv(state: Data<State>, sku: Sku) -> Result<HttpResponse, Problem> {
    let first = look_up::movements(&state.context, &sku, None, CSV_ENTRIES).await?.ok_or_else(no_such_product)?;
    let name = format!("attachment; filename=\"ledger-{}.csv\"", sku.as_str().replace(':', "_"));
    let pieces = stream::unfold((Some(first), true), move |(rows, is_first)| {
        let (state, sku) = (state.clone(), sku.clone());
        async move {
            let rows = rows?;
            let before = rows.last().map(|row| row.entry);
            let is_last = i64::try_from(rows.len()).unwrap_or(CSV_ENTRIES) < CSV_ENTRIES;
            let piece = table(rows, is_first);
            let next = match (is_last, before) {
                (false, Some(before)) => look_up::movements(&state.context, &sku, Some(before), CSV_ENTRIES).await,
                _ => Ok(None),
            };
            Some(match next {
                Ok(next) => (piece, (next, false)),
                // The response is aborted, so that the client sees an error instead of a truncated table.
                Err(error) => (Err(actix_web::error::ErrorServiceUnavailable(error.to_string())), (None, false)),
            })
        }
    });
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, name))
        .streaming(pieces))
}

/// Prefixes a text that spreadsheets would take for a formula with an apostrophe.
/// Source: <https://owasp.org/www-community/attacks/CSV_Injection>.
fn harmless(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}

fn table(rows: Vec<MovementRow>, with_head: bool) -> Result<Bytes, actix_web::Error> {
    let failed = |error: &dyn std::fmt::Display| actix_web::error::ErrorInternalServerError(error.to_string());
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    if with_head {
        writer.write_record(CSV_HEAD).map_err(|error| failed(&error))?;
    }
    for row in rows {
        let entry = MovementEntry::from(row);
        let note = entry.note.map(harmless);
        writer.serialize(MovementEntry { note, ..entry }).map_err(|error| failed(&error))?;
    }
    writer.into_inner().map(Bytes::from).map_err(|error| failed(&error))
}

/// Adjust the stock on hand after a count, damage, a return or a correction. Added units fill waiting orders first.
#[utoipa::path(
    tag = "stock",
    operation_id = "adjustStock",
    security(("operator" = [])),
    params(("sku" = Sku, Path, description = "The product."), IdempotencyKey),
    request_body = AdjustmentBody,
    responses(
        (status = 201, description = "The ledger entry.", body = MovementEntry),
        (status = 404, description = "`not-found`: There is no such product."),
        (status = 409, description = "`conflict`: The stock on hand would fall below zero."),
        (status = 422, description = "`invalid-request` or `idempotency-key-reused`."),
    ),
)]
#[post("/api/v1/products/{sku}/adjustments")]
pub async fn adjust(
    operator: Operator,
    state: Data<State>,
    sku: Path<String>,
    key: IdempotencyKey,
    body: RawJson,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let sku = sku_in_path(&sku)?;
    let parsed: AdjustmentBody = parse_strict(&body.0)?;
    if parsed.delta == 0 || !(-UNITS_MAX..=UNITS_MAX).contains(&parsed.delta) {
        return Err(invalid("delta", "must be a whole number from -1000000 to 1000000, not 0"));
    }
    let cause = match parsed.reason {
        AdjustmentReason::CycleCount => Cause::CycleCount,
        AdjustmentReason::Damage => Cause::Damage,
        AdjustmentReason::Return => Cause::Return,
        AdjustmentReason::Correction => Cause::Correction,
    };
    let note = bounded("note", parsed.note, NOTE_LENGTH_MAX)?;
    let adjustment = Adjustment { sku: sku.clone(), delta: parsed.delta, cause, note };
    // The product is only in the path, so the body alone does not identify the request.
    let asked_for =
        json!({"sku": sku, "body": serde_json::from_slice::<serde_json::Value>(&body.0).unwrap_or_default()});
    let asked = Asked {
        actor: &operator.name,
        key: key.0.map(|key| KeyUse {
            endpoint: "POST /api/v1/products/{sku}/adjustments",
            caller: operator.name.clone(),
            key,
            fingerprint: fingerprint(asked_for.to_string().as_bytes()),
        }),
        reason: Some(adjustment.cause.name()),
        detail: asked_for,
        trace: trace_of(&request),
    };
    let answered = adjust_stock(&state.context, adjustment, asked, render).await?;
    Ok(answered.respond(&request))
}

fn render(adjusted: &Adjusted<'_>) -> KeptAnswer {
    let adjustment = adjusted.adjustment;
    let entry = MovementEntry {
        id: adjusted.movement_id.0,
        sku: adjustment.sku.to_string(),
        cause: adjustment.cause.name().to_owned(),
        delta: adjustment.delta,
        before: adjusted.before,
        after: adjusted.before + adjustment.delta,
        reference: adjusted.reference.clone(),
        actor: adjusted.actor.to_owned(),
        note: adjustment.note.clone(),
        at: adjusted.at,
    };
    KeptAnswer { status: 201, body: serde_json::to_string(&entry).unwrap_or_default() }
}
