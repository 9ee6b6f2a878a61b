//! By the clock: factories' lead times are measured, and the other services told of what changed.
//!
//! A request has one lead time, to the receipt that completes it: only then is it received, and a
//! delivery in many parts weighs no more than another.

use std::time::Instant;

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use jaego_postbox::outbox;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::factory_changed::factory_changed;
use crate::domain::{Factory, LeadTime};
use crate::settings::LeadTimes;
use crate::store::{factories, lead_times, lock_factory};

/// Factories that are looked at in one go.
const PAGE: i64 = 100;

/// Measures every so often until `stop`. More seldom every factory is told of as it is: what was lost on the way comes
/// back by itself.
pub async fn run(context: Context, settings: LeadTimes, stop: CancellationToken) {
    let mut told_at = Instant::now();
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(settings.measure_every()) => {}
        }
        if let Err(error) = measure_lead_times(&context, &settings).await {
            tracing::warn!(%error, "lead times were not measured; the next round does it");
        }
        if told_at.elapsed() >= settings.tell_every() {
            told_at = Instant::now();
            if let Err(error) = tell_all(&context).await {
                tracing::warn!(%error, "factories cannot be told of now");
            }
        }
    }
}

/// Tells of every factory again, under the revision that it has: who knows it ignores it.
async fn tell_all(context: &Context) -> Result<(), StoreError> {
    let mut connection = context.pool.get().await?;
    let mut page = factories::list(&mut connection, None, PAGE).await?;
    while let Some(last) = page.last().map(|factory| factory.id.clone()) {
        let events: Vec<_> = page.iter().map(|factory| factory_changed(factory, TraceContext::new_root())).collect();
        outbox::append(&connection, events).await?;
        context.outbox.wake();
        page = factories::list(&mut connection, Some(last.as_str()), PAGE).await?;
    }
    Ok(())
}

/// One round over all factories. Nothing is locked or written for one whose figures stay as they are.
pub async fn measure_lead_times(context: &Context, settings: &LeadTimes) -> Result<(), StoreError> {
    let mut connection = context.pool.get().await?;
    let mut page = factories::list(&mut connection, None, PAGE).await?;
    while let Some(last) = page.last().map(|factory| factory.id.clone()) {
        for factory in changed(&mut connection, page, settings).await? {
            let published =
                connection.transaction(async |connection| publish(connection, factory, settings).await).await?;
            if published {
                context.outbox.wake();
            }
        }
        page = factories::list(&mut connection, Some(last.as_str()), PAGE).await?;
    }
    Ok(())
}

/// Those of `factories` whose figures are others now, as they are after that.
async fn changed(
    connection: &mut AsyncPgConnection,
    factories: Vec<Factory>,
    settings: &LeadTimes,
) -> Result<Vec<Factory>, StoreError> {
    let ids = factories.iter().map(|factory| factory.id.as_str()).collect();
    let mut samples = lead_times::newest(connection, ids, settings.samples_max.into()).await?;
    let measured = factories.iter().filter_map(|factory| {
        let samples = samples.remove(factory.id.as_str())?;
        factory.measured(LeadTime::of(samples, settings.samples_min.into())?)
    });
    Ok(measured.collect())
}

/// Decides once more, now that nobody else changes the factory; false when there is nothing to tell, or
/// when the figures changed so short a time ago, here or in another replica, that it has to wait.
async fn publish(
    connection: &mut AsyncPgConnection,
    factory: Factory,
    settings: &LeadTimes,
) -> Result<bool, StoreError> {
    lock_factory(connection, &factory.id).await?;
    let Some(factory) = factories::find(connection, &factory.id).await? else { return Ok(false) };
    let Some(factory) = changed(connection, vec![factory], settings).await?.pop() else { return Ok(false) };
    if !factories::save_measured(connection, &factory, settings.measure_every()).await? {
        return Ok(false);
    }
    outbox::append(connection, [factory_changed(&factory, TraceContext::new_root())]).await?;
    Ok(true)
}
