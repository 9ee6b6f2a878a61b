//! Consumers: contract messages from the broker become commands.

use std::future::Future;

use jaego_contracts::factory;
use jaego_contracts::factory::FactoryChanged;
use jaego_contracts::production;
use jaego_contracts::production::{ProductionOutcome, ProductionRequested};
use jaego_contracts::topology;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{DecodeError, ReceivedEvent};
use jaego_net::networks;
use jaego_postbox::consumer::{HandleError, Subscription};

use crate::commands::Context;
use crate::commands::apply_factory::{FactoryNews, apply_factory};
use crate::commands::keep_request::{Order, RequestNews, keep_request};

/// Every queue of the service with its handler.
pub(crate) fn subscriptions(context: &Context) -> [Subscription; 3] {
    [
        Subscription::new(&topology::RESTOCK_PRODUCTION_REQUESTS, "request_id", with(context, requested)),
        Subscription::new(&topology::RESTOCK_PRODUCTION_CANCELLED, "request_id", with(context, cancelled)),
        Subscription::new(&topology::RESTOCK_FACTORIES, "factory_id", with(context, factory_changed)),
    ]
}

fn with<F, R>(context: &Context, handler: F) -> impl Fn(ReceivedEvent, TraceContext) -> R + Send + Sync + 'static
where
    F: Fn(Context, ReceivedEvent, TraceContext) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), HandleError>>,
{
    let context = context.clone();
    move |event, trace| handler(context.clone(), event, trace)
}

async fn requested(context: Context, event: ReceivedEvent, trace: TraceContext) -> Result<(), HandleError> {
    let message: ProductionRequested = event.decode(&production::REQUESTED)?;
    let news = RequestNews {
        id: message.request_id,
        order: Order { sku: message.sku, factory_id: message.factory_id, quantity: message.quantity },
        requested_at: Some(message.requested_at),
        cancelled_at: None,
        traceparent: Some(trace.to_string()),
    };
    Ok(keep_request(&context, news).await?)
}

/// The trace is the cancellation's, not the request's, so it is not kept.
async fn cancelled(context: Context, event: ReceivedEvent, _: TraceContext) -> Result<(), HandleError> {
    let message: ProductionOutcome = event.decode(&production::CANCELLED)?;
    let news = RequestNews {
        id: message.request_id,
        order: Order { sku: message.sku, factory_id: message.factory_id, quantity: message.quantity },
        requested_at: None,
        cancelled_at: Some(message.at),
        traceparent: None,
    };
    Ok(keep_request(&context, news).await?)
}

async fn factory_changed(context: Context, event: ReceivedEvent, _: TraceContext) -> Result<(), HandleError> {
    let message: FactoryChanged = event.decode(&factory::CHANGED)?;
    let callback_sources = message
        .callback_sources
        .iter()
        .map(|text| networks::parse(text).ok_or_else(|| DecodeError::Undecodable(format!("not a network: {text:?}"))))
        .collect::<Result<_, _>>()?;
    let news = FactoryNews { id: message.factory_id, callback_sources, revision: message.revision };
    Ok(apply_factory(&context.pool, news).await?)
}
