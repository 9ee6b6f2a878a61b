//! An operator adds or changes a factory; the other services are told.

use diesel_async::AsyncConnection;
use serde_json::Value;
use shared::audit_log::{self, Action};
use shared::contracts::OutgoingEvent;
use shared::contracts::factory::{CHANGED, FactoryChanged};
use shared::http::IfMatch;
use shared::ids::FactoryId;
use shared::outbox;
use shared::problem::Problem;
use shared::trace::TraceContext;

use super::{Actor, CommandError, Context};
use crate::domain::{Factory, FactorySettings};
use crate::store::{factories, lock_factory};

/// What is asked for.
pub struct PutFactory {
    /// Which factory.
    pub id: FactoryId,
    /// All its settings, checked.
    pub settings: FactorySettings,
    /// The version that the change is based on.
    pub if_match: IfMatch,
    /// For the audit log.
    pub detail: Value,
}

/// Answers the factory, and whether it is new.
pub async fn put_factory(
    context: &Context,
    actor: Actor<'_>,
    put: PutFactory,
) -> Result<(Factory, bool), CommandError<Problem>> {
    let mut connection = context.pool.get().await.map_err(shared::db::StoreError::from)?;
    let answer = connection
        .transaction(async move |connection| {
            let PutFactory { id, settings, if_match, detail } = put;
            lock_factory(connection, &id).await?;
            let before = factories::find(connection, &id).await?.map(|factory| factory.revision);
            if_match.check(before).map_err(CommandError::Rejected)?;
            let factory = Factory { id, settings, revision: before.unwrap_or_default() + 1 };
            factories::save(connection, &factory).await?;
            outbox::append(connection, [changed(&factory, actor.trace)]).await?;
            let action = Action {
                actor: actor.name,
                action: "factory.put",
                subject: factory.id.as_str(),
                reason: None,
                detail,
                trace: actor.trace,
            };
            audit_log::record(connection, &action).await?;
            Ok::<_, CommandError<Problem>>((factory, before.is_none()))
        })
        .await?;
    context.committed();
    Ok(answer)
}

fn changed(factory: &Factory, trace: TraceContext) -> OutgoingEvent {
    let settings = &factory.settings;
    let data = FactoryChanged {
        factory_id: factory.id.clone(),
        name: settings.name.clone(),
        enabled: settings.enabled,
        lead_time_s: settings.lead_time_s,
        // Not measured yet.
        lead_time_p50_s: None,
        lead_time_p90_s: None,
        callback_sources: settings.callback_sources.clone(),
        revision: factory.revision,
    };
    OutgoingEvent::new(&CHANGED, "production-service", factory.id.as_str(), trace, &data)
}
