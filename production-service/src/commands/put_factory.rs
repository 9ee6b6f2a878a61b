//! Adds or changes a factory for an operator and announces it to the other services.

use diesel_async::AsyncConnection;
use jaego_contracts::ids::FactoryId;
use jaego_postbox::outbox;
use jaego_service::audit_log;
use jaego_service::audit_log::Action;
use jaego_web::IfMatch;
use jaego_web::problem::Problem;
use serde_json::Value;

use super::factory_changed::factory_changed;
use super::{Actor, CommandError, Context};
use crate::domain::{Factory, FactorySettings};
use crate::store::{factories, gates, lock_factory};

pub struct PutFactory {
    pub id: FactoryId,
    /// All settings, validated.
    pub settings: FactorySettings,
    /// Version that the change is based on.
    pub if_match: IfMatch,
    /// Recorded in the audit log.
    pub detail: Value,
}

/// Returns the factory, and whether it is new.
pub async fn put_factory(
    context: &Context,
    actor: Actor<'_>,
    put: PutFactory,
) -> Result<(Factory, bool), CommandError<Problem>> {
    let mut connection = context.pool.get().await.map_err(jaego_pg::StoreError::from)?;
    let answer = connection
        .transaction(async move |connection| {
            let PutFactory { id, settings, if_match, detail } = put;
            lock_factory(connection, &id).await?;
            let before = factories::find(connection, &id).await?;
            if_match.check(before.as_ref().map(Factory::version)).map_err(CommandError::Rejected)?;
            let is_new = before.is_none();
            let factory = match before {
                Some(before) => before.set(settings),
                None => Factory::new(id, settings),
            };
            factories::save(connection, &factory).await?;
            // Any change may be the fix, so the factory starts without known failures.
            gates::forget_breaker(connection, &factory.id).await?;
            outbox::append(connection, [factory_changed(&factory, actor.trace)]).await?;
            let action = Action {
                actor: actor.name,
                action: "factory.put",
                subject: factory.id.as_str(),
                reason: None,
                detail,
                trace: actor.trace,
            };
            audit_log::record(connection, &action).await?;
            Ok::<_, CommandError<Problem>>((factory, is_new))
        })
        .await?;
    context.wake_after_commit();
    Ok(answer)
}
