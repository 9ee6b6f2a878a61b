//! Factories.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::FactoryId;
use jaego_pg::{Statement, StatementSql, StoreError};

use super::schema::factories;
use super::{corrupt, milliseconds};
use crate::domain::{Factory, FactorySettings, LeadTime};

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = factories, treat_none_as_null = true)]
pub(super) struct FactoryRow {
    id: String,
    name: String,
    base_url: String,
    requester: String,
    enabled: bool,
    timeout_ms: i32,
    max_in_flight: i32,
    rate_per_s: Option<f64>,
    lead_time_s: i64,
    overdue_factor: f64,
    fallback_factory_id: Option<String>,
    retry_schedule_ms: Option<Vec<i64>>,
    callback_sources: Vec<String>,
    revision: i64,
    updated_at: DateTime<Utc>,
    lead_time_p50_s: Option<i64>,
    lead_time_p90_s: Option<i64>,
    measurements: i64,
}

impl From<&Factory> for FactoryRow {
    fn from(factory: &Factory) -> Self {
        let settings = factory.settings.clone();
        let delays = |delays: Vec<Duration>| delays.into_iter().map(milliseconds).collect();
        Self {
            id: factory.id.to_string(),
            name: settings.name,
            base_url: settings.base_url,
            requester: settings.requester,
            enabled: settings.enabled,
            timeout_ms: i32::try_from(settings.timeout.as_millis()).unwrap_or(i32::MAX),
            max_in_flight: settings.max_in_flight,
            rate_per_s: settings.rate_per_s,
            lead_time_s: settings.lead_time_s,
            overdue_factor: settings.overdue_factor,
            fallback_factory_id: settings.fallback_factory_id.map(String::from),
            retry_schedule_ms: settings.retry_schedule.map(delays),
            callback_sources: settings.callback_sources,
            revision: factory.revision,
            updated_at: Utc::now(),
            lead_time_p50_s: factory.lead_time.map(|measured| measured.p50_s),
            lead_time_p90_s: factory.lead_time.map(|measured| measured.p90_s),
            measurements: factory.measurements,
        }
    }
}

impl TryFrom<FactoryRow> for Factory {
    type Error = StoreError;

    fn try_from(row: FactoryRow) -> Result<Self, StoreError> {
        let id = |text: String| FactoryId::try_from(text).map_err(|error| corrupt("factories.id", error));
        let duration = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or_default());
        Ok(Self {
            id: id(row.id)?,
            settings: FactorySettings {
                name: row.name,
                base_url: row.base_url,
                requester: row.requester,
                enabled: row.enabled,
                timeout: duration(row.timeout_ms.into()),
                max_in_flight: row.max_in_flight,
                rate_per_s: row.rate_per_s,
                lead_time_s: row.lead_time_s,
                overdue_factor: row.overdue_factor,
                fallback_factory_id: row.fallback_factory_id.map(id).transpose()?,
                retry_schedule: row.retry_schedule_ms.map(|delays| delays.into_iter().map(duration).collect()),
                callback_sources: row.callback_sources,
            },
            lead_time: row.lead_time_p50_s.zip(row.lead_time_p90_s).map(|(p50_s, p90_s)| LeadTime { p50_s, p90_s }),
            revision: row.revision,
            measurements: row.measurements,
        })
    }
}

pub async fn find(connection: &mut AsyncPgConnection, id: &FactoryId) -> Result<Option<Factory>, StoreError> {
    let row = factories::table.find(id.as_str()).select(FactoryRow::as_select()).first(connection).await.optional()?;
    row.map(Factory::try_from).transpose()
}

/// Factories after `after`, in order of their ids.
pub async fn list(
    connection: &mut AsyncPgConnection,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Factory>, StoreError> {
    let rows = factories::table
        .filter(factories::id.gt(after.unwrap_or_default()))
        .order(factories::id)
        .limit(limit)
        .select(FactoryRow::as_select())
        .load(connection)
        .await?;
    rows.into_iter().map(Factory::try_from).collect()
}

/// The existing ones among these factories.
pub async fn find_all(connection: &mut AsyncPgConnection, ids: &[&str]) -> Result<Vec<Factory>, StoreError> {
    let rows =
        factories::table.filter(factories::id.eq_any(ids)).select(FactoryRow::as_select()).load(connection).await?;
    rows.into_iter().map(Factory::try_from).collect()
}

/// Ids of the existing ones among these factories.
pub async fn known(connection: &mut AsyncPgConnection, ids: Vec<String>) -> Result<HashSet<String>, StoreError> {
    let found: Vec<String> =
        factories::table.filter(factories::id.eq_any(ids)).select(factories::id).load(connection).await?;
    Ok(found.into_iter().collect())
}

/// Inserts or updates a factory.
pub async fn save(connection: &mut AsyncPgConnection, factory: &Factory) -> Result<(), StoreError> {
    let row = FactoryRow::from(factory);
    diesel::insert_into(factories::table)
        .values(&row)
        .on_conflict(factories::id)
        .do_update()
        .set(&row)
        .execute(connection)
        .await?;
    Ok(())
}

struct SaveMeasured;
impl StatementSql for SaveMeasured {
    const SQL: &'static str = "UPDATE factories SET lead_time_p50_s = ?, lead_time_p90_s = ?, revision = ?, \
        measurements = ?, measured_at = now(), updated_at = now() \
        WHERE id = ? AND (measured_at IS NULL OR measured_at <= now() - ? * interval '1 millisecond')";
}

/// Stores the measured figures of a locked factory. Writes nothing and returns false when the previous measurement is
/// more recent than `pause`.
pub async fn save_measured(
    connection: &mut AsyncPgConnection,
    factory: &Factory,
    pause: Duration,
) -> Result<bool, StoreError> {
    let saved = Statement::<SaveMeasured>::new()
        .bind::<Nullable<BigInt>, _>(factory.lead_time.map(|measured| measured.p50_s))
        .bind::<Nullable<BigInt>, _>(factory.lead_time.map(|measured| measured.p90_s))
        .bind::<BigInt, _>(factory.revision)
        .bind::<BigInt, _>(factory.measurements)
        .bind::<Text, _>(factory.id.to_string())
        .bind::<BigInt, _>(milliseconds(pause))
        .run(connection)
        .await?;
    Ok(saved == 1)
}
