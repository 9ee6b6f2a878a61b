//! Books goods whose callback was lost, on behalf of an operator.

use diesel_async::AsyncConnection;
use jaego_contracts::ids::{Quantity, RequestId};
use jaego_pg::StoreError;
use jaego_service::idempotency::KeptAnswer;
use jaego_web::problem::{Problem, ProblemKind};

use super::booking::{Goods, Hand, book};
use super::{Answered, Asked, Context, Refused, now, problem_of};
use crate::domain::judgement::{self, Progress};
use crate::store;
pub(crate) use crate::store::receipts::ReceiptRow;

/// Goods that arrived without a callback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LostDelivery {
    pub(crate) request_id: RequestId,
    pub(crate) quantity: Quantity,
}

/// Books the goods. Errors: 404 for an unknown request; 409 for a cancelled one and for more units than it still
/// lacks.
pub(crate) async fn book_by_hand(
    context: &Context,
    lost: LostDelivery,
    asked: Asked<'_>,
    render: fn(ReceiptRow) -> KeptAnswer,
) -> Result<Answered, Problem> {
    let LostDelivery { request_id, quantity } = lost;
    let source = context.source;
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let answered = connection
        .transaction(async move |connection| {
            if let Some(known) = asked.known_answer(connection).await? {
                return Ok::<_, Refused>(known);
            }
            let Some(request) = store::requests::find_and_lock(connection, request_id).await? else {
                let detail = format!("There is no production request {request_id}.");
                return Err(Problem::new(ProblemKind::NotFound, detail).into());
            };
            let progress = Progress {
                quantity: request.quantity,
                received: request.received,
                is_cancelled: request.cancelled_at.is_some(),
            };
            if let Err(rejection) = judgement::book_by_hand(progress, quantity) {
                // The refusal is kept under its key as well, so that a retry gets the same answer.
                let problem = problem_of(rejection);
                let answer = KeptAnswer { status: problem.kind().status(), body: problem.to_value().to_string() };
                return Ok(asked.keep(connection, answer).await?);
            }
            let order = request.order()?;
            let goods = Goods {
                request_id,
                sku: &order.sku,
                quantity,
                factory_id: &order.factory_id,
                counts: true,
                callback: None,
                hand: Some(Hand { actor: asked.actor, reason: asked.reason.unwrap_or_default() }),
                trace: asked.trace,
                at: now(),
            };
            let receipt = book(connection, &goods, source).await?;
            asked.record(connection, "receipt.book", &request_id.to_string()).await?;
            Ok(asked.keep(connection, render(receipt)).await?)
        })
        .await?;
    context.outbox.wake();
    Ok(answered)
}
