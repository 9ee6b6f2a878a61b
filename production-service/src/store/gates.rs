//! Limits and breakers, which decide whether a factory may be called.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::FactoryId;
use jaego_pg::{Statement, StatementSql, StoreError};

use super::schema::{self, factory_breakers};
use super::{corrupt, factories, milliseconds};
use crate::domain::{Breaker, Factory, Position};

#[derive(Queryable, Selectable)]
#[diesel(table_name = factory_breakers)]
struct BreakerRow {
    factory_id: String,
    position: String,
    failures_in_a_row: i64,
    window_began_at: DateTime<Utc>,
    window_calls: i64,
    window_failures: i64,
    opened_at: Option<DateTime<Utc>>,
    probe_at: Option<DateTime<Utc>>,
    failed_probes: i64,
    failed_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

impl TryFrom<BreakerRow> for Breaker {
    type Error = StoreError;

    fn try_from(row: BreakerRow) -> Result<Self, StoreError> {
        let count = |count: i64| u32::try_from(count).map_err(|error| corrupt("factory_breakers", error));
        let position = [Position::Closed, Position::Open, Position::HalfOpen];
        let position = position.into_iter().find(|position| position.as_str() == row.position);
        Ok(Self {
            position: position.ok_or_else(|| corrupt("factory_breakers.position", &row.position))?,
            failures_in_a_row: count(row.failures_in_a_row)?,
            window_began_at: row.window_began_at.into(),
            window_calls: count(row.window_calls)?,
            window_failures: count(row.window_failures)?,
            opened_at: row.opened_at.map(Into::into),
            probe_at: row.probe_at.map(Into::into),
            failed_probes: count(row.failed_probes)?,
            failed_at: row.failed_at.map(Into::into),
            last_error: row.last_error,
        })
    }
}

/// Stored breakers of `factories`.
pub async fn breakers(
    connection: &mut AsyncPgConnection,
    factories: &[&str],
) -> Result<HashMap<FactoryId, Breaker>, StoreError> {
    let rows: Vec<BreakerRow> = factory_breakers::table
        .filter(factory_breakers::factory_id.eq_any(factories))
        .select(BreakerRow::as_select())
        .load(connection)
        .await?;
    let read = |row: BreakerRow| {
        let id = FactoryId::try_from(row.factory_id.clone()).map_err(|error| corrupt("factory_id", error))?;
        Ok((id, row.try_into()?))
    };
    rows.into_iter().map(read).collect()
}

/// Limits of a factory, its due requests, and how much of each limit is in use.
#[derive(Debug, QueryableByName)]
pub struct Limits {
    #[diesel(sql_type = Text)]
    pub factory_id: String,
    #[diesel(sql_type = Bool)]
    pub enabled: bool,
    /// Due requests, counted up to the limit of the query.
    #[diesel(sql_type = BigInt)]
    pub due: i64,
    /// Calls in flight, of all replicas.
    #[diesel(sql_type = BigInt)]
    pub in_flight: i64,
    #[diesel(sql_type = BigInt)]
    pub max_in_flight: i64,
    /// Calls that the rate allows now, zero while the factory has asked for a delay; None: there is no rate limit.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub rate_room: Option<i64>,
    /// Time by the database's clock.
    #[diesel(sql_type = Timestamptz)]
    pub now: DateTime<Utc>,
}

struct OfFactories;
impl StatementSql for OfFactories {
    // A rate of 2.5 per second is enforced as 3 calls in any period of 1.2 s. The minimum takes one step into
    // the index, whatever the planner estimates; an EXISTS might read the whole table.
    const SQL: &'static str = "\
        SELECT id AS factory_id, enabled, max_in_flight::bigint AS max_in_flight, statement_timestamp() AS now, \
            (SELECT count(*) FROM (SELECT FROM production_requests \
                WHERE factory_id = factories.id AND next_attempt_at <= now() LIMIT ?) AS due) AS due, \
            (SELECT count(*) FROM production_requests WHERE factory_id = factories.id AND status = 'sending') AS in_flight, \
            CASE WHEN not_before > now() THEN 0 WHEN rate_per_s IS NOT NULL THEN ceil(rate_per_s)::bigint - (SELECT count(*) FROM production_attempts \
                WHERE factory_id = factories.id \
                AND started_at > statement_timestamp() - interval '1 second' * (ceil(rate_per_s) / rate_per_s)) \
            END AS rate_room \
        FROM factories LEFT JOIN LATERAL (SELECT min(next_attempt_at) AS at FROM production_requests \
            WHERE factory_id = factories.id AND next_attempt_at IS NOT NULL) AS first_due ON true \
        WHERE id = ANY(?) OR (enabled AND coalesce(not_before, '-infinity') <= now() AND first_due.at <= now()) \
        ORDER BY first_due.at NULLS LAST, id";
}

/// Factories that have due requests and may be called, and those in `also`; the one whose request has been due
/// longest comes first.
pub async fn limits(
    connection: &mut AsyncPgConnection,
    limit: i64,
    also: Vec<String>,
) -> Result<Vec<Limits>, StoreError> {
    let statement = Statement::<OfFactories>::new().bind::<BigInt, _>(limit).bind::<Array<Text>, _>(also);
    Ok(statement.load(connection).await?)
}

/// Those of these factories that exist, with their stored breakers.
pub async fn of(
    connection: &mut AsyncPgConnection,
    factories: &[&str],
) -> Result<Vec<(Factory, Option<Breaker>)>, StoreError> {
    let rows: Vec<(factories::FactoryRow, Option<BreakerRow>)> = schema::factories::table
        .left_join(factory_breakers::table.on(factory_breakers::factory_id.eq(schema::factories::id)))
        .filter(schema::factories::id.eq_any(factories))
        .select((factories::FactoryRow::as_select(), Option::<BreakerRow>::as_select()))
        .load(connection)
        .await?;
    let read = |(factory, breaker): (factories::FactoryRow, Option<BreakerRow>)| {
        Ok((factory.try_into()?, breaker.map(Breaker::try_from).transpose()?))
    };
    rows.into_iter().map(read).collect()
}

struct Save;
impl StatementSql for Save {
    const SQL: &'static str = "INSERT INTO factory_breakers (factory_id, position, failures_in_a_row, window_began_at, \
            window_calls, window_failures, opened_at, probe_at, failed_probes, failed_at, last_error) \
        SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
        ON CONFLICT (factory_id) DO UPDATE SET position = excluded.position, \
            failures_in_a_row = excluded.failures_in_a_row, window_began_at = excluded.window_began_at, \
            window_calls = excluded.window_calls, window_failures = excluded.window_failures, \
            opened_at = excluded.opened_at, probe_at = excluded.probe_at, failed_probes = excluded.failed_probes, \
            failed_at = excluded.failed_at, last_error = excluded.last_error";
}

pub async fn save(connection: &mut AsyncPgConnection, breakers: &[(FactoryId, Breaker)]) -> Result<(), StoreError> {
    if breakers.is_empty() {
        return Ok(());
    }
    let count = |pick: fn(&Breaker) -> u32| breakers.iter().map(|(_, one)| i64::from(pick(one))).collect::<Vec<_>>();
    let time = |time: SystemTime| DateTime::<Utc>::from(time);
    let times = |pick: fn(&Breaker) -> Option<SystemTime>| {
        breakers.iter().map(|(_, one)| pick(one).map(time)).collect::<Vec<_>>()
    };
    Statement::<Save>::new()
        .bind::<Array<Text>, _>(breakers.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(breakers.iter().map(|(_, one)| one.position.as_str()).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(count(|one| one.failures_in_a_row))
        .bind::<Array<Timestamptz>, _>(breakers.iter().map(|(_, one)| time(one.window_began_at)).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(count(|one| one.window_calls))
        .bind::<Array<BigInt>, _>(count(|one| one.window_failures))
        .bind::<Array<Nullable<Timestamptz>>, _>(times(|one| one.opened_at))
        .bind::<Array<Nullable<Timestamptz>>, _>(times(|one| one.probe_at))
        .bind::<Array<BigInt>, _>(count(|one| one.failed_probes))
        .bind::<Array<Nullable<Timestamptz>>, _>(times(|one| one.failed_at))
        .bind::<Array<Nullable<Text>>, _>(breakers.iter().map(|(_, one)| one.last_error.clone()).collect::<Vec<_>>())
        .run(connection)
        .await?;
    Ok(())
}

struct LeaveAlone;
impl StatementSql for LeaveAlone {
    // Locked in order of their ids, as everywhere else, to avoid deadlocks.
    const SQL: &'static str = "UPDATE factories SET not_before = greatest(factories.not_before, now() + wanted.wait) \
        FROM (SELECT locked.id, asked.wait FROM (SELECT id, max(ms) * interval '1 millisecond' AS wait \
            FROM unnest(?, ?) AS each (id, ms) GROUP BY id) AS asked \
            JOIN (SELECT id FROM factories WHERE id = ANY(?) ORDER BY id FOR NO KEY UPDATE) AS locked ON locked.id = asked.id) \
        AS wanted WHERE factories.id = wanted.id";
}

/// Stores the delays that factories asked for: no replica calls a factory before its delay is over.
pub async fn leave_alone(
    connection: &mut AsyncPgConnection,
    waits: &[(&FactoryId, Duration)],
) -> Result<(), StoreError> {
    if waits.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = waits.iter().map(|(factory, _)| factory.to_string()).collect();
    Statement::<LeaveAlone>::new()
        .bind::<Array<Text>, _>(ids.clone())
        .bind::<Array<BigInt>, _>(waits.iter().map(|(_, wait)| milliseconds(*wait)).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(ids)
        .run(connection)
        .await?;
    Ok(())
}

/// Removes the breaker of the factory and any delay that it asked for.
pub async fn forget_breaker(connection: &mut AsyncPgConnection, factory: &FactoryId) -> Result<(), StoreError> {
    diesel::update(schema::factories::table.find(factory.as_str()))
        .set(schema::factories::not_before.eq(None::<DateTime<Utc>>))
        .execute(connection)
        .await?;
    diesel::delete(factory_breakers::table.find(factory.as_str())).execute(connection).await?;
    Ok(())
}
