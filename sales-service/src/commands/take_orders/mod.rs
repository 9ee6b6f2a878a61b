//! Combined intake: orders wait in memory, one worker takes what is there, one transaction decides and writes them
//! all, then every order gets its own answer.
//!
//! One hot product is one locked row: taking its orders together costs one lock and one commit instead of hundreds.
//! There is no timer: while one batch is written the next one gathers. Orders of a product whose row something else
//! holds wait apart from all others ([`queues`]), and every order is answered in time, whatever the database does.

mod batch;
mod known;
mod queues;
mod round;
mod settle;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use jaego_contracts::ids::{OrderId, Sku};
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

/// An order is answered at the latest so long after `intake.wait_max_ms`.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// One shopper's order.
#[derive(Debug, Clone)]
pub struct OrderRequest {
    /// What is ordered.
    pub order: NewOrder,
    /// Whose it is, in the shop's words.
    pub customer: Option<String>,
    /// The request's Idempotency-Key.
    pub key: Option<KeyUse>,
    /// The request's trace.
    pub trace: TraceContext,
}

impl OrderRequest {
    /// What is ordered, without how many.
    fn skus(&self) -> impl Iterator<Item = &Sku> {
        self.order.lines.iter().map(|(sku, _)| sku)
    }

    /// Digest of the body, for a request with a key.
    fn fingerprint(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|used| used.fingerprint.as_slice())
    }
}

/// What an answer is made of.
pub struct Decided<'a> {
    /// The request.
    pub request: &'a OrderRequest,
    /// What became of it.
    pub order: &'a DecidedOrder,
    /// When it was decided.
    pub at: chrono::DateTime<chrono::Utc>,
}

/// Writes answers; given by the HTTP edge, as they are kept with their orders.
pub trait Render: Send + Sync {
    /// The answer to an order that was just decided.
    fn decided(&self, decided: &Decided<'_>) -> KeptAnswer;
    /// The answer that an order was given which was confirmed at once, whatever became of it since.
    fn confirmed(&self, order: OrderView) -> KeptAnswer;
}

/// The way into the intake queues.
#[derive(Clone)]
pub struct Intake {
    desk: Arc<Desk>,
    /// Places of all that wait.
    places: Arc<Semaphore>,
    wait_max: Duration,
}

impl Intake {
    /// The queues and the worker behind them; there is one per process. `pool` is the worker's own: its connections
    /// wait for a lock for `intake.lock_wait_ms`.
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

    /// Refuses a request before it costs anything, while there is no place for it.
    pub fn admit(&self) -> Result<(), Problem> {
        if self.places.available_permits() > 0 { Ok(()) } else { Err(overloaded()) }
    }

    /// Queues an order and waits for its answer, at most `intake.wait_max_ms` and half a second. 503 `overloaded` when
    /// nothing was done by then, `outcome-unknown` when the database has not said what became of it.
    pub async fn take(&self, request: OrderRequest) -> Result<Answered, Problem> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| overloaded())?;
        let (reply, answer) = oneshot::channel();
        let (id, progress, deadline) = (request.order.id, Progress::default(), Instant::now() + self.wait_max);
        let waiter = Waiter { request, reply, progress: progress.clone(), deadline, _place: place };
        self.desk.push(waiter)?;
        match tokio::time::timeout_at(deadline + ANSWERED_WITHIN, answer).await {
            Ok(Ok(answer)) => answer,
            Err(_) if progress.give_up() => Err(overloaded()),
            Ok(Err(_)) if progress.give_up() => Err(stopped()),
            Ok(Err(_)) | Err(_) => Err(outcome_unknown(id)),
        }
    }

    /// The answer that was given to the same request before, if there was one: it needs no place in any queue.
    pub async fn known_answer(&self, used: &KeyUse) -> Result<Option<Answered>, Problem> {
        let answers = round::kept_answers(&self.desk, std::slice::from_ref(used)).await?;
        answers.into_iter().next().map(|(_, answer)| answer).transpose()
    }
}

fn overloaded() -> Problem {
    Problem::new(ProblemKind::Overloaded, "Too many orders wait; send the same request again shortly.")
}

fn stopped() -> Problem {
    Problem::new(ProblemKind::Unavailable, "The service is stopping; send the same request again.")
}

fn outcome_unknown(id: OrderId) -> Problem {
    let detail = "The database has not said in time whether the order was taken. Send the same request again with the \
                  same Idempotency-Key, or ask for the order by its id; without a key, ask before you order again.";
    Problem::new(ProblemKind::OutcomeUnknown, detail).with("order_id", id)
}
