//! First deliveries and what became of them.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use shared::db::StoreError;
use shared::ids::{Quantity, ReceiptId, RequestId};
use uuid::Uuid;

use super::schema::deliveries::{self, dsl};
use super::unreadable;
use crate::domain::decision::{First, FirstOutcome, Reason};

const RECEIVED: &str = "received";

/// A first delivery to be kept.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    /// Its token.
    pub(crate) jti: &'a str,
    /// The factory's name for it.
    pub(crate) delivery_id: Option<&'a str>,
    /// Its request.
    pub(crate) request_id: RequestId,
    /// Its units as it told them.
    pub(crate) count: Quantity,
    /// What became of it.
    pub(crate) outcome: FirstOutcome,
    /// What was booked, if anything was.
    pub(crate) booked: Option<Booked>,
    /// What came, redacted.
    pub(crate) body: &'a str,
    /// When.
    pub(crate) at: DateTime<Utc>,
}

/// What was booked for a delivery: its answer, told again to whoever tells it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Booked {
    /// The receipt.
    pub(crate) receipt_id: ReceiptId,
    /// Its units.
    pub(crate) quantity: i64,
    /// Units beyond, kept for a person.
    pub(crate) quarantined: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = deliveries)]
struct Row {
    count: i64,
    outcome: String,
    receipt_id: Option<Uuid>,
    quantity_received: i64,
    quantity_quarantined: i64,
    completed: bool,
}

/// The first delivery with this identity, and what was booked for it.
pub(crate) async fn find_first(
    connection: &mut AsyncPgConnection,
    jti: &str,
    delivery_id: Option<&str>,
) -> Result<Option<(First, Option<Booked>)>, StoreError> {
    let row: Option<Row> = dsl::deliveries
        .filter(dsl::jti.eq(jti).and(dsl::delivery_id.is_not_distinct_from(delivery_id)))
        .select(Row::as_select())
        .first(connection)
        .await
        .optional()?;
    row.map(Row::read).transpose()
}

impl Row {
    fn read(self) -> Result<(First, Option<Booked>), StoreError> {
        let count = Quantity::try_from(self.count).map_err(unreadable)?;
        let outcome = if self.outcome == RECEIVED {
            FirstOutcome::Received { completed: self.completed }
        } else {
            let reason = Reason::from_slug(&self.outcome);
            FirstOutcome::Quarantined(reason.ok_or_else(|| unreadable(format!("outcome {:?}", self.outcome)))?)
        };
        let booked = self.receipt_id.map(|id| Booked {
            receipt_id: ReceiptId(id),
            quantity: self.quantity_received,
            quarantined: self.quantity_quarantined,
        });
        Ok((First { count, outcome }, booked))
    }
}

/// Keeps a first delivery.
pub(crate) async fn insert(connection: &mut AsyncPgConnection, new: &NewDelivery<'_>) -> Result<(), StoreError> {
    let (outcome, completed) = match new.outcome {
        FirstOutcome::Received { completed } => (RECEIVED, completed),
        FirstOutcome::Quarantined(reason) => (reason.slug(), false),
    };
    diesel::insert_into(dsl::deliveries)
        .values((
            dsl::id.eq(Uuid::now_v7()),
            dsl::jti.eq(new.jti),
            dsl::delivery_id.eq(new.delivery_id),
            dsl::request_id.eq(new.request_id.0),
            dsl::count.eq(new.count.get()),
            dsl::outcome.eq(outcome),
            dsl::receipt_id.eq(new.booked.map(|booked| booked.receipt_id.0)),
            dsl::quantity_received.eq(new.booked.map_or(0, |booked| booked.quantity)),
            dsl::quantity_quarantined.eq(new.booked.map_or(0, |booked| booked.quarantined)),
            dsl::completed.eq(completed),
            dsl::body.eq(new.body),
            dsl::created_at.eq(new.at),
        ))
        .execute(connection)
        .await?;
    Ok(())
}
