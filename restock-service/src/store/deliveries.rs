//! First deliveries and their outcomes.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::AsyncPgConnection;
use jaego_contracts::ids::{CallbackId, Quantity, ReceiptId, RequestId};
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::{place_of, unreadable};
use crate::domain::batch::{Booked, Identity, KnownDelivery};
use crate::domain::decision::{First, FirstOutcome, Reason};

const RECEIVED: &str = "received";

/// A first delivery to insert.
#[derive(Debug)]
pub(crate) struct NewDelivery<'a> {
    pub(crate) id: CallbackId,
    /// Id of the token.
    pub(crate) jti: &'a str,
    /// The factory's name for the delivery.
    pub(crate) delivery_id: Option<&'a str>,
    pub(crate) request_id: RequestId,
    /// Units as reported.
    pub(crate) count: Quantity,
    pub(crate) outcome: FirstOutcome,
    /// The booking, if there is one.
    pub(crate) booked: Option<Booked>,
    /// The body, redacted.
    pub(crate) body: &'a str,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    receipt_id: Option<Uuid>,
    #[diesel(sql_type = BigInt)]
    quantity_received: i64,
    #[diesel(sql_type = BigInt)]
    quantity_quarantined: i64,
    #[diesel(sql_type = Bool)]
    completed: bool,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

// One index lookup per identity, whatever the planner believes about the table: the cached plan may date from when
// the table was small. For a delivery without a name only NULL is looked for, so that a token's many named parts are
// not read. Earlier versions booked a delivery once for each attempt; of these the first one counts.
struct FindFirst;
impl StatementSql for FindFirst {
    const SQL: &'static str = "SELECT place, count, outcome, receipt_id, quantity_received, quantity_quarantined, \
        completed, id FROM unnest(?, ?, ?) WITH ORDINALITY AS wanted (jti, request_id, delivery_id, place) \
        CROSS JOIN LATERAL ((SELECT * FROM deliveries d WHERE d.request_id = wanted.request_id \
        AND d.delivery_id = wanted.delivery_id ORDER BY d.id LIMIT 1) \
        UNION ALL (SELECT * FROM deliveries d WHERE d.jti = wanted.jti AND d.delivery_id IS NULL \
        AND wanted.delivery_id IS NULL LIMIT 1)) AS known";
}

/// Finds the first deliveries with these identities, and their bookings.
pub(crate) async fn find_first<'a>(
    connection: &AsyncPgConnection,
    identities: &[Identity<'a>],
) -> Result<Vec<(Identity<'a>, KnownDelivery)>, StoreError> {
    fn parts_of<T>(identities: &[Identity<'_>], pick: impl Fn(&Identity<'_>) -> Option<T>) -> Vec<Option<T>> {
        identities.iter().map(pick).collect()
    }
    let rows: Vec<Row> = Statement::<FindFirst>::new()
        .bind::<Array<Nullable<Text>>, _>(parts_of(identities, |identity| match identity {
            Identity::Named(..) => None,
            Identity::OfToken(jti) => Some((*jti).to_owned()),
        }))
        .bind::<Array<Nullable<SqlUuid>>, _>(parts_of(identities, |identity| match identity {
            Identity::Named(request_id, _) => Some(request_id.0),
            Identity::OfToken(_) => None,
        }))
        .bind::<Array<Nullable<Text>>, _>(parts_of(identities, |identity| match identity {
            Identity::Named(_, name) => Some((*name).to_owned()),
            Identity::OfToken(_) => None,
        }))
        .load(connection)
        .await?;
    rows.into_iter().map(|row| Ok((place_of(identities, row.place)?, row.read()?))).collect()
}

impl Row {
    fn read(self) -> Result<KnownDelivery, StoreError> {
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
        Ok(KnownDelivery { first: First { count, outcome }, booked, by: CallbackId(self.id) })
    }
}

struct Insert;
impl StatementSql for Insert {
    const SQL: &'static str = "INSERT INTO deliveries (id, jti, delivery_id, request_id, count, outcome, receipt_id, \
        quantity_received, quantity_quarantined, completed, body, created_at) \
        SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
}

pub(crate) async fn insert(
    connection: &AsyncPgConnection,
    new: &[NewDelivery<'_>],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let outcome = |new: &NewDelivery<'_>| match new.outcome {
        FirstOutcome::Received { .. } => RECEIVED,
        FirstOutcome::Quarantined(reason) => reason.slug(),
    };
    let completed = |new: &NewDelivery<'_>| matches!(new.outcome, FirstOutcome::Received { completed: true });
    let units =
        |pick: fn(&Booked) -> i64| new.iter().map(|new| new.booked.as_ref().map_or(0, pick)).collect::<Vec<_>>();
    let receipts = new.iter().map(|new| new.booked.map(|booked| booked.receipt_id.0));
    Statement::<Insert>::new()
        .bind::<Array<SqlUuid>, _>(new.iter().map(|new| new.id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(|new| new.jti.to_owned()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(new.iter().map(|new| new.delivery_id.map(str::to_owned)).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(new.iter().map(|new| new.request_id.0).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(new.iter().map(|new| new.count.get()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(outcome).collect::<Vec<_>>())
        .bind::<Array<Nullable<SqlUuid>>, _>(receipts.collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(units(|booked| booked.quantity))
        .bind::<Array<BigInt>, _>(units(|booked| booked.quarantined))
        .bind::<Array<Bool>, _>(new.iter().map(completed).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(new.iter().map(|new| new.body.to_owned()).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(vec![at; new.len()])
        .run(connection)
        .await?;
    Ok(())
}
