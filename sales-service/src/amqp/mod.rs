//! The AMQP edge: each queue with its message type and the command that handles it.

use jaego_contracts::topology;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{ReceivedEvent, factory, production, stock};
use jaego_postbox::consumer::{HandleError, IfHeld, Subscription, TracedEvent};

use crate::commands::Context;
use crate::commands::apply_outcome::apply_outcome;
use crate::commands::note_factory::note_factory;
use crate::commands::receive_goods::receive_goods;

/// The queues that this service consumes.
pub fn subscriptions(context: &Context) -> Vec<Subscription> {
    let bind = |queue, subject, handle: fn(Context, ReceivedEvent, TraceContext) -> Handling| {
        let context = context.clone();
        Subscription::new(queue, subject, move |event, trace| handle(context.clone(), event, trace))
    };
    let receiving = context.clone();
    let receive = move |events: Vec<TracedEvent>, if_held: IfHeld| {
        let context = receiving.clone();
        async move {
            let decode = |(event, trace): TracedEvent| Ok((event.decode(&stock::RECEIVED)?, trace));
            let receipts = events.into_iter().map(decode).collect::<Result<Vec<_>, HandleError>>()?;
            receive_goods(&context, receipts, if_held).await
        }
    };
    vec![
        Subscription::in_batches(&topology::SALES_STOCK_RECEIVED, "sku", receive),
        bind(&topology::SALES_PRODUCTION_OUTCOMES, "sku", |context, event, trace| {
            Box::pin(async move {
                let (kind, outcome) = event.decode_any(&production::OUTCOMES)?;
                apply_outcome(&context, kind, outcome, trace).await
            })
        }),
        bind(&topology::SALES_FACTORIES, "factory_id", |context, event, _| {
            Box::pin(async move { note_factory(&context, event.decode(&factory::CHANGED)?).await })
        }),
    ]
}

type Handling = futures::future::BoxFuture<'static, Result<(), HandleError>>;
