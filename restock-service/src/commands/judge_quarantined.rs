//! An operator judges a quarantine entry: accepted goods become a receipt.

use chrono::{DateTime, Utc};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::ids::{Quantity, QuarantineId, RequestId};
use jaego_pg::StoreError;
use jaego_web::problem::{Problem, ProblemKind};
use uuid::Uuid;

use super::booking::{FromCallback, Goods, Hand, book};
use super::{Asked, Context, Refused, now, problem_of};
pub(crate) use crate::domain::judgement::Choice;
use crate::domain::judgement::{self, Entry, Status};
use crate::store;
pub(crate) use crate::store::quarantine::QuarantineRow;
use crate::store::quarantine::Verdict;

/// The operator's decision.
#[derive(Debug, Clone)]
pub(crate) enum Judgement {
    /// The goods have arrived.
    Accept(Choice),
    /// There is nothing to book.
    Discard,
}

/// Judges the entry. Errors: 404 for an unknown entry, 409 for one that was judged before, 422 when the operator must
/// state something that the delivery does not.
pub(crate) async fn judge_quarantined(
    context: &Context,
    id: QuarantineId,
    judgement: Judgement,
    asked: Asked<'_>,
) -> Result<QuarantineRow, Problem> {
    let source = context.source;
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let judged = connection
        .transaction(async move |connection| {
            let Some(row) = store::quarantine::find_and_lock(connection, id).await? else {
                let detail = format!("There is no quarantine entry {id}.");
                return Err(Refused::from(Problem::new(ProblemKind::NotFound, detail)));
            };
            let at = now();
            let (status, action, receipt_id) = match judgement {
                Judgement::Accept(choice) => {
                    let receipt_id = book_entry(connection, &row, choice, &asked, at, source).await?;
                    (Status::Accepted, "quarantine.accept", Some(receipt_id))
                }
                Judgement::Discard => {
                    judgement::discard(row.read_status()?).map_err(problem_of)?;
                    (Status::Discarded, "quarantine.discard", None)
                }
            };
            let verdict = Verdict { status, by: asked.actor, reason: asked.reason.unwrap_or_default(), at, receipt_id };
            let judged = store::quarantine::judge(connection, id, &verdict).await?;
            asked.record(connection, action, &id.to_string()).await?;
            Ok(judged)
        })
        .await?;
    context.outbox.wake();
    Ok(judged)
}

async fn book_entry(
    connection: &mut AsyncPgConnection,
    row: &QuarantineRow,
    choice: Choice,
    asked: &Asked<'_>,
    at: DateTime<Utc>,
    source: &str,
) -> Result<Uuid, Refused> {
    let request_id = RequestId(row.request_id);
    let request = store::requests::find_and_lock(connection, request_id).await?;
    let order = request.ok_or_else(|| store::unreadable("an entry has no request"))?.order()?;
    let entry = Entry {
        status: row.read_status()?,
        asked_for: &order.sku,
        claimed: row.claimed_product.as_deref(),
        quantity: row.quantity.and_then(|units| Quantity::try_from(units).ok()),
    };
    let accepted = judgement::accept(entry, choice).map_err(problem_of)?;
    let goods = Goods {
        request_id,
        sku: &accepted.sku,
        quantity: accepted.quantity,
        factory_id: &order.factory_id,
        counts: accepted.counts,
        callback: Some(FromCallback { jti: &row.jti, delivery_id: row.delivery_id.as_deref() }),
        hand: Some(Hand { actor: asked.actor, reason: asked.reason.unwrap_or_default() }),
        trace: asked.trace,
        at,
    };
    Ok(book(connection, &goods, source).await?.id)
}
