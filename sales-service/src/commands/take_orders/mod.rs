//! Combined intake: orders wait in memory, one worker takes all that are waiting, one transaction decides and writes
//! them, and then every order gets its own answer.
//!
//! A popular product is one contended row. Taking its orders together costs one lock and one commit instead of
//! hundreds. There is no timer: while one batch is written, the next one gathers. Orders of a product whose row is
//! locked by another transaction are queued separately ([`queues`]), and every order is answered in time, whatever
//! the database does.

mod batch;
mod known;
mod queues;
mod round;
mod settle;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use jaego_contracts::ids::Sku;
use jaego_contracts::trace::TraceContext;
use jaego_service::idempotency::{KeptAnswer, KeyUse};
use jaego_web::problem::{Problem, ProblemKind};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use self::queues::{Progress, Waiter};
use self::worker::Desk;
pub use self::worker::{CONNECTIONS, IntakeWorker};
use super::{Answered, Context};
pub use crate::domain::intake::{DecidedLine, DecidedOrder, NewOrder};
pub use crate::domain::order::{OnShortage, OrderStatus};
use crate::settings::Intake as IntakeSettings;
use crate::store::orders::OrderView;

/// Maximum time after `intake.wait_max_ms` until an order is answered.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub struct OrderRequest {
    pub order: NewOrder,
    /// The customer, as named by the shop.
    pub customer: Option<String>,
    pub key: Option<KeyUse>,
    /// The trace of the request.
    pub trace: TraceContext,
}

impl OrderRequest {
    fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.order.lines.iter().map(|(sku, _)| sku)
    }

    /// Digest of the body. None for a request without a key.
    fn fingerprint(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|used| used.fingerprint.as_slice())
    }
}

/// A decided order, for rendering its answer.
pub struct Decided<'a> {
    pub request: &'a OrderRequest,
    pub order: &'a DecidedOrder,
    /// Time of the decision.
    pub at: chrono::DateTime<chrono::Utc>,
}

/// Renders answers. Implemented by the HTTP edge, because answers are stored together with their orders.
pub trait Render: Send + Sync {
    /// The answer to an order that was just decided.
    fn decided(&self, decided: &Decided<'_>) -> KeptAnswer;
    /// The original answer of an order that was confirmed at once, whatever happened to the order since.
    fn confirmed(&self, order: OrderView) -> KeptAnswer;
}

/// Entry to the intake queues.
#[derive(Clone)]
pub struct Intake {
    desk: Arc<Desk>,
    /// One permit per order that may wait.
    places: Arc<Semaphore>,
    wait_max: Duration,
}

impl Intake {
    /// Creates the queues and their worker, once per process. The worker has `pool` for itself; its connections have
    /// `intake.lock_wait_ms` as their lock timeout.
    pub fn new(
        context: Context,
        pool: jaego_pg::Pool,
        settings: &IntakeSettings,
        render: Arc<dyn Render>,
    ) -> (Self, IntakeWorker) {
        let desk = Arc::new(Desk::new(context, pool, settings, render));
        let places = Arc::new(Semaphore::new(settings.queue_max));
        let wait_max = Duration::from_millis(settings.wait_max_ms);
        (Self { desk: desk.clone(), places, wait_max }, IntakeWorker::new(desk))
    }

    /// Refuses a request early, before it costs anything, while the queue is full.
    pub fn admit(&self) -> Result<(), Problem> {
        if self.places.available_permits() > 0 { Ok(()) } else { Err(overloaded()) }
    }

    /// Queues an order and waits for its answer, at most `intake.wait_max_ms` plus half a second. Answers 503
    /// `overloaded` if nothing was done by then, and `outcome-unknown` if the database did not report the result.
    pub async fn take(&self, request: OrderRequest) -> Result<Answered, Problem> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| overloaded())?;
        let (request, (reply, answer)) = (Arc::new(request), oneshot::channel());
        let (progress, deadline) = (Progress::default(), Instant::now() + self.wait_max);
        let waiter = Waiter { request: request.clone(), reply, progress: progress.clone(), deadline, _place: place };
        self.desk.push(waiter)?;
        match tokio::time::timeout_at(deadline + ANSWERED_WITHIN, answer).await {
            Ok(Ok(reply)) => reply.map(|taken| self.desk.render(&request, taken)),
            Err(_) if progress.give_up() => Err(overloaded()),
            Ok(Err(_)) if progress.give_up() => Err(stopped()),
            Ok(Err(_)) | Err(_) => Err(outcome_unknown(&request)),
        }
    }

    /// The stored answer to an earlier identical request, if any. It needs no place in the queue.
    pub async fn known_answer(&self, used: &KeyUse) -> Result<Option<Answered>, Problem> {
        let answers = round::kept_answers(&self.desk, std::slice::from_ref(used)).await?;
        answers.into_iter().next().map(|(_, answer)| answer).transpose()
    }
}

fn overloaded() -> Problem {
    Problem::new(ProblemKind::Overloaded, "Too many orders are waiting; send the same request again shortly.")
}

fn stopped() -> Problem {
    Problem::new(ProblemKind::Unavailable, "The service is stopping; send the same request again.")
}

/// An order with a key may be stored under the id of an earlier request with the same key, so its absence under its own
/// id proves nothing.
fn outcome_unknown(request: &OrderRequest) -> Problem {
    let detail = match request.key {
        Some(_) => {
            "The database did not confirm in time whether the order was taken. Send the same request again with the same \
             Idempotency-Key: only its answer shows that. If an earlier request with this key was taken, the order has \
             the id of that request."
        }
        None => {
            "The database did not confirm in time whether the order was taken. Look the order up by its id before you \
             order again."
        }
    };
    Problem::new(ProblemKind::OutcomeUnknown, detail).with("order_id", request.order.id)
}
