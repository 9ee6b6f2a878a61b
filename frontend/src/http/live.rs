//! Live events as server-sent events.

use std::convert::Infallible;

use actix_web::http::header;
use actix_web::web::{Bytes, Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures::{Stream, StreamExt as _};
use jaego_web::auth::Role;
use jaego_web::clients::Clients;
use jaego_web::problem::{Problem, ProblemKind};
use serde::Deserialize;
use uuid::Uuid;

use super::{Face, State, not_found};
use crate::live::Full;

/// Maximum orders that one page follows.
const ORDERS_MAX: usize = 20;
/// `Retry-After` when there are too many followers, seconds.
const RETRY_AFTER_S: u32 = 10;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    orders: String,
}

/// Stream for shoppers: hints about changed products, and events of these orders.
pub(super) async fn shop(
    request: HttpRequest,
    state: Data<State>,
    wanted: Query<Wanted>,
) -> Result<HttpResponse, Problem> {
    let ids = wanted.orders.split(',').filter(|id| !id.is_empty());
    let orders: Result<Vec<Uuid>, _> = ids.map(str::parse).collect();
    let orders = orders.ok().filter(|orders| orders.len() <= ORDERS_MAX).ok_or_else(|| {
        let detail = format!("orders: must be at most {ORDERS_MAX} ids of orders, separated by commas.");
        Problem::new(ProblemKind::InvalidRequest, detail).with("field", "orders")
    })?;
    answer(state.hub.follow_shop(orders, Clients::limited(&request)))
}

/// Stream for signed-in users: all events, until the session ends.
pub(super) async fn console(
    request: HttpRequest,
    state: Data<State>,
    face: Data<Face>,
) -> Result<HttpResponse, Problem> {
    let session = state.need(**face, &request, Role::Viewer).await?;
    let sessions = state.sessions(**face).ok_or_else(not_found)?;
    let end = Box::pin(sessions.end_of(&session));
    answer(state.hub.follow_all().map(|stream| stream.take_until(end)))
}

fn answer(
    stream: Result<impl Stream<Item = Result<Bytes, Infallible>> + Unpin + 'static, Full>,
) -> Result<HttpResponse, Problem> {
    let stream = stream.map_err(|full| {
        let (kind, who) = match full {
            Full::Everybody => (ProblemKind::Overloaded, "browsers"),
            Full::Client => (ProblemKind::TooManyRequests, "pages at this address"),
        };
        Problem::new(kind, format!("Too many {who} follow live events now; poll instead.")).retry_after(RETRY_AFTER_S)
    })?;
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies must not buffer events.
        .insert_header(("x-accel-buffering", "no"));
    Ok(response.streaming(stream))
}
