//! What restock-service hears from the broker: contract messages become commands.

use std::future::Future;

use shared::amqp::consumer::{HandleError, Subscription};
use shared::amqp::topology;
use shared::contracts::factory::{self, FactoryChanged};
use shared::contracts::production::{self, ProductionOutcome, ProductionRequested};
use shared::contracts::{DecodeError, ReceivedEvent};
use shared::db::Pool;
use shared::trace::TraceContext;

use crate::commands::apply_factory::{FactoryNews, apply_factory};
use crate::commands::keep_request::{Order, RequestNews, keep_request};
use crate::networks;

/// Every queue of the service with its handler.
pub(crate) fn subscriptions(pool: &Pool) -> [Subscription; 3] {
    [
        Subscription::new(&topology::RESTOCK_PRODUCTION_REQUESTS, with(pool, requested)),
        Subscription::new(&topology::RESTOCK_PRODUCTION_CANCELLED, with(pool, cancelled)),
        Subscription::new(&topology::RESTOCK_FACTORIES, with(pool, factory_changed)),
    ]
}

/// The handler with its pool.
fn with<F, R>(pool: &Pool, handler: F) -> impl Fn(ReceivedEvent, TraceContext) -> R + Send + Sync + 'static
where
    F: Fn(Pool, ReceivedEvent, TraceContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), HandleError>>,
{
    let pool = pool.clone();
    move |event, trace| handler(pool.clone(), event, trace)
}

async fn requested(pool: Pool, event: ReceivedEvent, trace: TraceContext) -> Result<(), HandleError> {
    let message: ProductionRequested = event.decode(&production::REQUESTED)?;
    let news = RequestNews {
        id: message.request_id,
        order: Order { sku: message.sku, factory_id: message.factory_id, quantity: message.quantity },
        requested_at: Some(message.requested_at),
        cancelled_at: None,
        traceparent: Some(trace.to_string()),
    };
    Ok(keep_request(&pool, news).await?)
}

/// Its trace is the cancellation's, not the request's: it is not kept.
async fn cancelled(pool: Pool, event: ReceivedEvent, _: TraceContext) -> Result<(), HandleError> {
    let message: ProductionOutcome = event.decode(&production::CANCELLED)?;
    let news = RequestNews {
        id: message.request_id,
        order: Order { sku: message.sku, factory_id: message.factory_id, quantity: message.quantity },
        requested_at: None,
        cancelled_at: Some(message.at),
        traceparent: None,
    };
    Ok(keep_request(&pool, news).await?)
}

async fn factory_changed(pool: Pool, event: ReceivedEvent, _: TraceContext) -> Result<(), HandleError> {
    let message: FactoryChanged = event.decode(&factory::CHANGED)?;
    let callback_sources = message
        .callback_sources
        .iter()
        .map(|text| networks::parse(text).ok_or_else(|| DecodeError::Undecodable(format!("not a network: {text:?}"))))
        .collect::<Result<_, _>>()?;
    let news = FactoryNews { id: message.factory_id, callback_sources, revision: message.revision };
    Ok(apply_factory(&pool, news).await?)
}
