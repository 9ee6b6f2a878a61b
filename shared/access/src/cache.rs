//! Remembers the answers of access-service for a few seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jaego_contracts::issued::Issued;
use jaego_web::auth::{Introspect, Introspection, Principal};
use jaego_web::problem::Problem;
use moka::Expiry;
use moka::future::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::client::{ACTIVE_MAX, Client, unavailable};
use crate::settings::Access;

/// Maximum answers that are remembered.
const ANSWERS_MAX: u64 = 10_000;
/// Time for which a refusal is remembered. A credential that is not valid does not become valid.
const REFUSED_MAX: Duration = Duration::from_secs(10);
/// Time for which it is remembered that a credential was valid once.
const FAMILIAR_MAX: Duration = Duration::from_secs(3600);
/// Maximum requests in flight about credentials that were valid before.
const FAMILIAR_IN_FLIGHT_MAX: usize = 64;
/// Maximum requests in flight about credentials that were never valid here. Strangers share these places, so that
/// guesses leave the others free.
const STRANGE_IN_FLIGHT_MAX: usize = 8;

/// Answers of access-service, each asked for once at a time and remembered for at most [`ACTIVE_MAX`].
pub struct Known {
    client: Arc<Client>,
    answers: Cache<Issued, Option<Principal>>,
    familiar: Cache<Issued, ()>,
    familiar_places: Semaphore,
    strange_places: Semaphore,
}

struct Age;

impl Expiry<Issued, Option<Principal>> for Age {
    fn expire_after_create(&self, _: &Issued, answer: &Option<Principal>, _: Instant) -> Option<Duration> {
        Some(if answer.is_some() { ACTIVE_MAX } else { REFUSED_MAX })
    }
}

impl Known {
    /// None if the settings name no access-service.
    pub fn of(settings: &Access) -> reqwest::Result<Option<Arc<dyn Introspect>>> {
        if settings.url.is_empty() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self::new(Arc::new(Client::new(settings)?)))))
    }

    /// Remembers nothing yet.
    pub fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            answers: Cache::builder().max_capacity(ANSWERS_MAX).expire_after(Age).build(),
            familiar: Cache::builder().max_capacity(ANSWERS_MAX).time_to_live(FAMILIAR_MAX).build(),
            familiar_places: Semaphore::new(FAMILIAR_IN_FLIGHT_MAX),
            strange_places: Semaphore::new(STRANGE_IN_FLIGHT_MAX),
        }
    }

    /// Forgets an answer: this process has changed what it says.
    pub async fn forget(&self, issued: Issued) {
        self.answers.invalidate(&issued).await;
    }

    async fn ask(&self, issued: Issued) -> Result<Option<Principal>, Problem> {
        let is_familiar = self.familiar.contains_key(&issued);
        let places = if is_familiar { &self.familiar_places } else { &self.strange_places };
        let Ok(Ok(_place)) = timeout(self.client.wait(), places.acquire()).await else {
            return Err(unavailable("too many tokens are being checked"));
        };
        let answer = self.client.introspect(issued).await?.principal;
        if answer.is_some() {
            self.familiar.insert(issued, ()).await;
        } else {
            self.familiar.invalidate(&issued).await;
        }
        Ok(answer)
    }
}

impl Introspect for Known {
    fn introspect(&self, issued: Issued) -> Introspection<'_> {
        Box::pin(async move {
            let answer = self.answers.try_get_with(issued, self.ask(issued)).await;
            answer.map_err(|problem: Arc<Problem>| (*problem).clone())
        })
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
