//! Periodically measures the lead times of factories and announces changes to the other services.
//!
//! A request has one lead time, up to the receipt that completes it: only then is the request received, and a
//! delivery in many parts weighs no more than any other.

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

/// Factories per page.
const PAGE: i64 = 100;

/// Measures at an interval until `stop`. At a longer interval every factory is announced unchanged, so that lost
/// events are made up for.
pub async fn run(context: Context, settings: LeadTimes, stop: CancellationToken) {
    let mut announced_at = Instant::now();
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(settings.measure_every()) => {}
        }
        if let Err(error) = measure_lead_times(&context, &settings).await {
            tracing::warn!(%error, "lead times were not measured; the next round tries again");
        }
        if announced_at.elapsed() >= settings.announce_every() {
            announced_at = Instant::now();
            if let Err(error) = announce_all(&context).await {
                tracing::warn!(%error, "factories cannot be announced now");
            }
        }
    }
}

/// Announces every factory again under its current revision; a consumer that already has that revision ignores it.
async fn announce_all(context: &Context) -> Result<(), StoreError> {
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

/// One round over all factories. A factory whose figures are unchanged is neither locked nor written.
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

/// Those of `factories` whose figures have changed, with the new figures.
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

/// Decides again under the factory's lock. False when nothing has changed, or when the figures last changed so
/// recently, here or in another replica, that the change has to wait.
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
