//! The AMQP edge: each queue with its message type and the command that handles it.

use jaego_contracts::topology;
use jaego_contracts::trace::TraceContext;
use jaego_contracts::{ReceivedEvent, factory, production, stock};
use jaego_postbox::consumer::batch::TracedEvent;
use jaego_postbox::consumer::{HandleError, Subscription};

use crate::commands::Context;
use crate::commands::apply_outcome::apply_outcome;
use crate::commands::note_factory::note_factory;
use crate::commands::receive_goods::receive_goods;

/// The queues that this service consumes.
pub fn subscriptions(context: &Context) -> Vec<Subscription> {
    let bind = |queue, handle: fn(Context, ReceivedEvent, TraceContext) -> Handling| {
        let context = context.clone();
        Subscription::new(queue, move |event, trace| handle(context.clone(), event, trace))
    };
    let receiving = context.clone();
    let in_bursts = move |events: Vec<TracedEvent>| {
        let context = receiving.clone();
        async move {
            let decode = |(event, trace): TracedEvent| Ok((event.decode(&stock::RECEIVED)?, trace));
            let receipts = events.into_iter().map(decode).collect::<Result<Vec<_>, HandleError>>()?;
            receive_goods(&context, receipts).await
        }
    };
    vec![
        bind(&topology::SALES_STOCK_RECEIVED, |context, event, trace| {
            Box::pin(async move { receive_goods(&context, vec![(event.decode(&stock::RECEIVED)?, trace)]).await })
        })
        .with_batches(in_bursts),
        bind(&topology::SALES_PRODUCTION_OUTCOMES, |context, event, trace| {
            Box::pin(async move {
                let (kind, outcome) = event.decode_any(&production::OUTCOMES)?;
                apply_outcome(&context, kind, outcome, trace).await
            })
        }),
        bind(&topology::SALES_FACTORIES, |context, event, _| {
            Box::pin(async move { note_factory(&context, event.decode(&factory::CHANGED)?).await })
        }),
    ]
}

type Handling = futures::future::BoxFuture<'static, Result<(), HandleError>>;
