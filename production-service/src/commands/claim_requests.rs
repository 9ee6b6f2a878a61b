//! Claims due requests for this process and stores each call before it is made. The results of finished calls are
//! applied to the breakers here as well: claims are serialized, so breakers need no lock of their own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::callback::CallbackClaims;
use jaego_contracts::ids::{FactoryId, RequestId};
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;

use super::Context;
use super::callback_url::CallbackUrls;
use super::give_up_waiting::Exhausted;
use crate::domain::{Breaker, BreakerRules, Factory, Request, Wanting, share_out};
use crate::store::attempts::{self, NewAttempt};
use crate::store::gates::{self, Limits};
use crate::store::{lock_claims, work};

pub use crate::domain::Tally;
pub use crate::store::attempts::Lease;

/// A claimed call, to be made now.
pub struct Call {
    /// The request as claimed, with this call counted.
    pub request: Request,
    pub factory: Arc<Factory>,
    /// Claims of the callback token.
    pub callback: CallbackClaims,
    /// Time at which the call was stored, by the database's clock.
    pub started_at: DateTime<Utc>,
    /// Trace of the request.
    pub traceparent: String,
}

impl Call {
    pub fn request_id(&self) -> RequestId {
        self.request.id
    }

    /// Number of the call, from 1.
    pub fn number(&self) -> i32 {
        self.request.attempt_count
    }

    pub fn timeout(&self) -> Duration {
        self.factory.settings.timeout
    }
}

/// Capacity and state of the calling process.
pub struct Caller<'a> {
    /// Further calls that the process can make.
    pub free: u32,
    /// Maximum calls to one factory, so that a slow one leaves room for the others.
    pub of_one_factory_max: u32,
    /// Calls in flight in this process.
    pub own_in_flight: &'a HashMap<FactoryId, u32>,
    /// Results of calls since the last claim.
    pub tallies: &'a HashMap<FactoryId, Tally>,
}

#[derive(Default)]
pub struct Claimed {
    /// Calls to make now.
    pub calls: Vec<Call>,
    /// Waiting requests to give up.
    pub exhausted: Vec<Exhausted>,
}

/// Claims due requests, for each factory at most as many as its limits and its breaker allow.
pub async fn claim_requests(
    context: &Context,
    callback_urls: &CallbackUrls,
    lease: Lease,
    caller: &Caller<'_>,
) -> Result<Claimed, StoreError> {
    let mut connection = context.pool.get().await?;
    connection
        .transaction(async |connection| {
            lock_claims(connection).await?;
            let gates = load(connection, context, caller).await?;
            let wanting: Vec<Wanting> = gates.iter().map(|gate| gate.wanting(caller)).collect();
            let places = share_out(caller.free, &wanting);
            let breakers: Vec<(FactoryId, Breaker)> =
                gates.iter().zip(&places).filter_map(|(gate, places)| gate.change(*places, &context.breaker)).collect();
            gates::save(connection, &breakers).await?;
            let exhausted = gates.iter().filter_map(|gate| gate.exhausted(context)).collect();
            let now = gates.first().map_or_else(Utc::now, |gate| gate.limits.now);
            let open: Vec<(&Gate, u32)> = gates.iter().zip(places).filter(|(_, places)| *places > 0).collect();
            let calls = claim(connection, callback_urls, lease, &open, now).await?;
            Ok(Claimed { calls, exhausted })
        })
        .await
}

/// A factory with its limits and its breaker, before and after the results that this process reports.
struct Gate {
    factory: Arc<Factory>,
    limits: Limits,
    before: Option<Breaker>,
    breaker: Breaker,
}

async fn load(
    connection: &mut AsyncPgConnection,
    context: &Context,
    caller: &Caller<'_>,
) -> Result<Vec<Gate>, StoreError> {
    let reported = caller.tallies.keys().map(ToString::to_string).collect();
    let limits = gates::limits(connection, caller.free.into(), reported).await?;
    if limits.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = limits.iter().map(|limits| limits.factory_id.as_str()).collect();
    let mut known: HashMap<String, (Factory, Option<Breaker>)> = gates::of(connection, &names)
        .await?
        .into_iter()
        .map(|(factory, breaker)| (factory.id.to_string(), (factory, breaker)))
        .collect();
    let gate = |limits: Limits| {
        let (factory, before) = known.remove(&limits.factory_id)?;
        let now = SystemTime::from(limits.now);
        let breaker = before.clone().unwrap_or_else(|| Breaker::closed(now));
        let breaker = match caller.tallies.get(&factory.id) {
            Some(tally) => breaker.observe(tally, now, &context.breaker),
            None => breaker,
        };
        Some(Gate { factory: factory.into(), limits, before, breaker })
    };
    Ok(limits.into_iter().filter_map(gate).collect())
}

impl Gate {
    fn wanting(&self, caller: &Caller<'_>) -> Wanting {
        let in_flight = u32::try_from(self.limits.in_flight.max(0)).unwrap_or(u32::MAX);
        Wanting { in_flight, room: self.room(caller) }
    }

    fn room(&self, caller: &Caller<'_>) -> u32 {
        if !self.limits.enabled {
            return 0;
        }
        let count = |count: i64| u32::try_from(count.max(0)).unwrap_or(u32::MAX);
        let (in_flight, max_in_flight) = (count(self.limits.in_flight), count(self.limits.max_in_flight));
        let own_in_flight = caller.own_in_flight.get(&self.factory.id).copied().unwrap_or_default();
        self.breaker
            .room(in_flight, max_in_flight, self.limits.now.into())
            .min(count(self.limits.due))
            .min(self.limits.rate_room.map_or(u32::MAX, count))
            .min(caller.of_one_factory_max.saturating_sub(own_in_flight))
    }

    /// The breaker after `places` calls have started; None when it is unchanged.
    fn change(&self, places: u32, rules: &BreakerRules) -> Option<(FactoryId, Breaker)> {
        let called = || self.breaker.called(self.limits.now.into(), rules);
        let after = if places > 0 { called() } else { self.breaker.clone() };
        (self.before.as_ref() != Some(&after)).then(|| (self.factory.id.clone(), after))
    }

    fn exhausted(&self, context: &Context) -> Option<Exhausted> {
        let schedule = context.schedule(self.factory.settings.retry_schedule.as_deref());
        let begun_by = self.breaker.gives_up_begun_by(schedule.iter().sum())?;
        let error = self.breaker.last_error.clone().unwrap_or_default();
        let waits = self.limits.enabled && self.limits.due > 0;
        waits.then(|| Exhausted { factory: self.factory.id.clone(), begun_by, error })
    }
}

async fn claim(
    connection: &mut AsyncPgConnection,
    callback_urls: &CallbackUrls,
    lease: Lease,
    open: &[(&Gate, u32)],
    now: DateTime<Utc>,
) -> Result<Vec<Call>, StoreError> {
    let places = open.iter().map(|(gate, places)| (gate.factory.id.as_str(), i64::from(*places)));
    let due = work::lock_due(connection, places.collect()).await?;
    let mut calls = Vec::new();
    let mut rows = Vec::new();
    for stored in due {
        let of_request = |(gate, _): &&(&Gate, u32)| gate.factory.id == stored.state.factory_id;
        let Some((gate, _)) = open.iter().find(of_request) else { continue };
        let request = Request { attempt_count: stored.state.attempt_count + 1, ..stored.state };
        let callback = callback_urls.claims(&request, Utc::now());
        rows.push(NewAttempt {
            request_id: request.id.0,
            number: request.attempt_count,
            factory_id: gate.factory.id.to_string(),
            jti: callback.jti.clone(),
            started_at: now,
            trace_id: TraceContext::continue_from(Some(&stored.traceparent)).trace_id(),
        });
        calls.push(Call {
            request,
            factory: Arc::clone(&gate.factory),
            callback,
            started_at: now,
            traceparent: stored.traceparent,
        });
    }
    if rows.is_empty() {
        return Ok(calls);
    }
    attempts::begin(connection, &rows, lease).await?;
    Ok(calls)
}

/// Time until the next request is due; None when nothing is scheduled.
pub async fn next_due(context: &Context) -> Result<Option<Duration>, StoreError> {
    let in_s = work::next_in_s(&*context.pool.get().await?).await?;
    Ok(in_s.map(|in_s| Duration::try_from_secs_f64(in_s).unwrap_or_default()))
}
