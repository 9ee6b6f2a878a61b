//! Deliveries that wait for an operator.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{CallbackId, QuarantineId, RequestId};
use jaego_contracts::trace::TraceContext;
use jaego_pg::{Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::schema::quarantine::{self, dsl};
use super::{place_of, unreadable};
use crate::domain::batch::Entry;
use crate::domain::decision::Reason;
use crate::domain::delivery::Order;
use crate::domain::judgement::Status;

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = quarantine)]
pub(crate) struct QuarantineRow {
    pub(crate) id: Uuid,
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) request_id: Uuid,
    pub(crate) jti: String,
    pub(crate) delivery_id: Option<String>,
    pub(crate) sku: String,
    pub(crate) factory_id: String,
    pub(crate) quantity: Option<i64>,
    pub(crate) claimed_product: Option<String>,
    pub(crate) claimed_factory: Option<String>,
    pub(crate) body: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) decided_by: Option<String>,
    pub(crate) decided_at: Option<DateTime<Utc>>,
    pub(crate) decision_reason: Option<String>,
    pub(crate) receipt_id: Option<Uuid>,
    pub(crate) body_bytes: Option<Vec<u8>>,
    pub(crate) times_received: i64,
    pub(crate) last_received_at: Option<DateTime<Utc>>,
}

impl QuarantineRow {
    pub(crate) fn read_status(&self) -> Result<Status, StoreError> {
        Status::from_name(&self.status).ok_or_else(|| unreadable(format!("status {:?}", self.status)))
    }
}

/// An entry to insert.
#[derive(Debug)]
pub(crate) struct NewEntry<'a> {
    pub(crate) callback_id: CallbackId,
    pub(crate) reason: Reason,
    pub(crate) request_id: RequestId,
    /// Id of the token.
    pub(crate) jti: &'a str,
    /// The factory's name for the delivery.
    pub(crate) delivery_id: Option<&'a str>,
    /// Digest of everything that was judged.
    pub(crate) fingerprint: &'a [u8],
    pub(crate) order: &'a Order,
    /// Units in quarantine, if they are known.
    pub(crate) quantity: Option<i64>,
    /// The product, if the delivery names one.
    pub(crate) claimed_product: Option<&'a str>,
    /// The factory, if the delivery names one.
    pub(crate) claimed_factory: Option<&'a str>,
    /// The body, redacted; empty when it is unreadable.
    pub(crate) body: &'a str,
    /// The bytes of an unreadable body, redacted.
    pub(crate) body_bytes: Option<&'a [u8]>,
    /// The delivery's trace.
    pub(crate) trace: TraceContext,
    pub(crate) at: DateTime<Utc>,
}

/// An operator's decision about an entry.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    pub(crate) status: Status,
    /// Name of the operator.
    pub(crate) by: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) at: DateTime<Utc>,
    /// The receipt of an accepted entry.
    pub(crate) receipt_id: Option<Uuid>,
}

/// Locks an entry for the rest of the transaction. Entries are locked before their requests.
pub(crate) async fn find_and_lock(
    connection: &mut AsyncPgConnection,
    id: QuarantineId,
) -> Result<Option<QuarantineRow>, StoreError> {
    let row = dsl::quarantine.find(id.0).select(QuarantineRow::as_select()).for_update();
    Ok(row.get_result(connection).await.optional()?)
}

/// Stores the decision about a locked entry.
pub(crate) async fn judge(
    connection: &mut AsyncPgConnection,
    id: QuarantineId,
    verdict: &Verdict<'_>,
) -> Result<QuarantineRow, StoreError> {
    let judged = diesel::update(dsl::quarantine.find(id.0))
        .set((
            dsl::status.eq(verdict.status.name()),
            dsl::decided_by.eq(verdict.by),
            dsl::decided_at.eq(verdict.at),
            dsl::decision_reason.eq(verdict.reason),
            dsl::receipt_id.eq(verdict.receipt_id),
        ))
        .returning(QuarantineRow::as_returning())
        .get_result(connection)
        .await?;
    Ok(judged)
}

struct Insert;
impl StatementSql for Insert {
    const SQL: &'static str = "INSERT INTO quarantine (id, status, reason, request_id, jti, delivery_id, fingerprint, \
        sku, factory_id, quantity, claimed_product, claimed_factory, body, body_bytes, traceparent, created_at, \
        last_callback_id) SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
}

pub(crate) async fn insert(connection: &AsyncPgConnection, new: &[NewEntry<'_>]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let text = |pick: fn(&NewEntry<'_>) -> String| new.iter().map(pick).collect::<Vec<_>>();
    let optional = |pick: fn(&NewEntry<'_>) -> Option<String>| new.iter().map(pick).collect::<Vec<_>>();
    Statement::<Insert>::new()
        .bind::<Array<SqlUuid>, _>(new.iter().map(|_| QuarantineId::generate().0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(text(|_| Status::Waiting.name().to_owned()))
        .bind::<Array<Text>, _>(text(|new| new.reason.slug().to_owned()))
        .bind::<Array<SqlUuid>, _>(new.iter().map(|new| new.request_id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(text(|new| new.jti.to_owned()))
        .bind::<Array<Nullable<Text>>, _>(optional(|new| new.delivery_id.map(str::to_owned)))
        .bind::<Array<Binary>, _>(new.iter().map(|new| new.fingerprint.to_vec()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(text(|new| new.order.sku.to_string()))
        .bind::<Array<Text>, _>(text(|new| new.order.factory_id.to_string()))
        .bind::<Array<Nullable<BigInt>>, _>(new.iter().map(|new| new.quantity).collect::<Vec<_>>())
        .bind::<Array<Nullable<Text>>, _>(optional(|new| new.claimed_product.map(str::to_owned)))
        .bind::<Array<Nullable<Text>>, _>(optional(|new| new.claimed_factory.map(str::to_owned)))
        .bind::<Array<Text>, _>(text(|new| new.body.to_owned()))
        .bind::<Array<Nullable<Binary>>, _>(
            new.iter().map(|new| new.body_bytes.map(<[u8]>::to_vec)).collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(text(|new| new.trace.to_string()))
        .bind::<Array<Timestamptz>, _>(new.iter().map(|new| new.at).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(new.iter().map(|new| new.callback_id.0).collect::<Vec<_>>())
        .run(connection)
        .await?;
    Ok(())
}

/// A repetition of a delivery that is in the quarantine.
#[derive(Debug)]
pub(crate) struct Repetition<'a> {
    pub(crate) callback_id: CallbackId,
    pub(crate) request_id: RequestId,
    /// Id of the token.
    pub(crate) jti: &'a str,
    /// True if the factory gave it a name, which identifies it whatever token it comes with.
    pub(crate) has_name: bool,
    /// Digest of everything that was judged.
    pub(crate) fingerprint: &'a [u8],
}

struct CountAgain;
impl StatementSql for CountAgain {
    // Entries are locked before requests, but the batch holds its requests already. An entry that an operator is
    // judging is therefore not waited for, and its count stays. A batch that is tried again after a lost answer is in
    // the same order, so whatever comes up to the callback that was counted last has been counted with it.
    const SQL: &'static str = "UPDATE quarantine SET times_received = times_received + again.times, \
        last_received_at = ?, last_callback_id = again.callback_id \
        FROM (SELECT id, count(*) AS times, (array_agg(callback_id ORDER BY place DESC))[1] AS callback_id \
            FROM (SELECT known.id, repeated.callback_id, place, max(place) FILTER \
                (WHERE repeated.callback_id = known.last_callback_id) OVER (PARTITION BY known.id) AS counted \
                FROM unnest(?, ?, ?, ?, ?) WITH ORDINALITY \
                    AS repeated (request_id, jti, has_name, fingerprint, callback_id, place) CROSS JOIN LATERAL \
                (SELECT q.id, q.last_callback_id FROM quarantine q WHERE q.request_id = repeated.request_id \
                AND q.fingerprint = repeated.fingerprint AND (repeated.has_name OR q.jti = repeated.jti) \
                ORDER BY q.id LIMIT 1 FOR UPDATE SKIP LOCKED) AS known) AS repeated \
            WHERE place > coalesce(counted, 0) GROUP BY id) AS again \
        WHERE quarantine.id = again.id";
}

/// Counts repetitions on the entries that they repeat.
pub(crate) async fn count_again(
    connection: &AsyncPgConnection,
    repetitions: &[Repetition<'_>],
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    if repetitions.is_empty() {
        return Ok(());
    }
    Statement::<CountAgain>::new()
        .bind::<Timestamptz, _>(at)
        .bind::<Array<SqlUuid>, _>(repetitions.iter().map(|again| again.request_id.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(repetitions.iter().map(|again| again.jti.to_owned()).collect::<Vec<_>>())
        .bind::<Array<Bool>, _>(repetitions.iter().map(|again| again.has_name).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(repetitions.iter().map(|again| again.fingerprint.to_vec()).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(repetitions.iter().map(|again| again.callback_id.0).collect::<Vec<_>>())
        .run(connection)
        .await?;
    Ok(())
}

struct CountWaiting;
impl StatementSql for CountWaiting {
    const SQL: &'static str = "SELECT count(*) AS waiting FROM quarantine WHERE status = 'waiting'";
}

#[derive(QueryableByName)]
struct Waiting {
    #[diesel(sql_type = BigInt)]
    waiting: i64,
}

/// Number of entries that wait for an operator.
pub(crate) async fn count_waiting(connection: &AsyncPgConnection) -> Result<i64, StoreError> {
    let rows: Vec<Waiting> = Statement::<CountWaiting>::new().load(connection).await?;
    Ok(rows.iter().map(|row| row.waiting).sum())
}

#[derive(QueryableByName)]
struct OfToken {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Binary)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    last_callback_id: Option<Uuid>,
}

// One index lookup per token, as for the first deliveries.
struct OfTokens;
impl StatementSql for OfTokens {
    const SQL: &'static str = "SELECT place, fingerprint, reason, last_callback_id \
        FROM unnest(?) WITH ORDINALITY AS wanted (jti, place) CROSS JOIN LATERAL \
        (SELECT fingerprint, reason, last_callback_id FROM quarantine q WHERE q.jti = wanted.jti OFFSET 0) AS known";
}

/// The entries of these tokens. Their number is bounded, because any more are refused.
pub(crate) async fn of_tokens<'a>(
    connection: &AsyncPgConnection,
    jtis: &[&'a str],
) -> Result<Vec<(&'a str, Entry)>, StoreError> {
    let rows: Vec<OfToken> = Statement::<OfTokens>::new()
        .bind::<Array<Text>, _>(jtis.iter().map(|jti| (*jti).to_owned()).collect::<Vec<_>>())
        .load(connection)
        .await?;
    let read = |OfToken { place, fingerprint, reason, last_callback_id }| {
        let reason = Reason::from_slug(&reason).ok_or_else(|| unreadable(format!("reason {reason:?}")))?;
        Ok((place_of(jtis, place)?, Entry { fingerprint, reason, by: last_callback_id.map(CallbackId) }))
    };
    rows.into_iter().map(read).collect()
}

/// Newest first; ids increase with time.
pub(crate) async fn list(
    connection: &mut AsyncPgConnection,
    older_than: Option<Uuid>,
    limit: i64,
) -> Result<Vec<QuarantineRow>, StoreError> {
    let mut query = dsl::quarantine.select(QuarantineRow::as_select()).order(dsl::id.desc()).limit(limit).into_boxed();
    if let Some(id) = older_than {
        query = query.filter(dsl::id.lt(id));
    }
    Ok(query.load(connection).await?)
}
