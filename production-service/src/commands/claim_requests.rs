//! Due requests are claimed for this process, and each call written down before it is made.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use diesel_async::AsyncConnection;
use secrecy::SecretString;
use shared::ids::{FactoryId, RequestId};
use shared::trace::TraceContext;

use super::callback_url::{CallbackUrls, NotSigned};
use super::{CommandError, Context};
use crate::domain::{Factory, Request};
use crate::store::attempts::{self, NewAttempt};
use crate::store::{factories, lock_claims, requests};

pub use crate::store::requests::Lease;

/// A call to be made.
pub struct Call {
    /// The request as it was claimed, this call counted.
    pub request: Request,
    /// Whom to ask.
    pub factory: Factory,
    /// Where the factory calls back.
    pub callback_url: SecretString,
    /// The trace that the request belongs to.
    pub traceparent: String,
}

impl Call {
    /// Which request.
    pub fn request_id(&self) -> RequestId {
        self.request.id
    }

    /// Counts from 1.
    pub fn number(&self) -> i32 {
        self.request.attempt_count
    }

    /// Longest time for it.
    pub fn timeout(&self) -> Duration {
        self.factory.settings.timeout
    }
}

/// Claims up to `limit` due requests, of each factory no more than it takes at the same time.
pub async fn claim_requests(
    context: &Context,
    callback_urls: &CallbackUrls,
    lease: Lease,
    limit: usize,
) -> Result<Vec<Call>, CommandError<NotSigned>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut connection = context.pool.get().await.map_err(shared::db::StoreError::from)?;
    connection
        .transaction(async move |connection| {
            lock_claims(connection).await?;
            let due = requests::lock_due(connection, limit).await?;
            if due.is_empty() {
                return Ok(Vec::new());
            }
            let names: Vec<&str> = due.iter().map(|stored| stored.state.factory_id.as_str()).collect();
            let known = factories::find_all(connection, &names).await?;
            let known: HashMap<FactoryId, Factory> =
                known.into_iter().map(|factory| (factory.id.clone(), factory)).collect();
            let mut calls = Vec::new();
            let mut rows = Vec::new();
            for stored in due {
                let Some(factory) = known.get(&stored.state.factory_id) else { continue };
                let request = Request { attempt_count: stored.state.attempt_count + 1, ..stored.state };
                let callback = callback_urls.issue(&request, Utc::now()).map_err(CommandError::Rejected)?;
                rows.push(NewAttempt {
                    request_id: request.id.0,
                    number: request.attempt_count,
                    factory_id: factory.id.to_string(),
                    jti: callback.jti,
                    trace_id: TraceContext::continue_from(Some(&stored.traceparent)).trace_id(),
                });
                calls.push(Call {
                    request,
                    factory: factory.clone(),
                    callback_url: callback.url,
                    traceparent: stored.traceparent,
                });
            }
            attempts::insert(connection, &rows).await?;
            let ids = rows.iter().map(|row| row.request_id).collect();
            requests::begin_sending(connection, ids, lease).await?;
            Ok(calls)
        })
        .await
}
