//! Requests to access-service.

use std::time::Duration;

use jaego_contracts::issued::Issued;
use jaego_contracts::trace::TraceContext;
use jaego_web::auth::Principal;
use jaego_web::problem::{Problem, ProblemKind};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::settings::Access;

/// Maximum idle time of a pooled connection. Services close theirs after 5 s.
const IDLE_MAX: Duration = Duration::from_secs(3);
/// `Retry-After` when access-service does not answer, seconds.
const RETRY_AFTER_S: u32 = 2;
/// Maximum time for which a program may rely on an answer of access-service.
pub const ACTIVE_MAX: Duration = Duration::from_secs(3);

/// An answer to [`Client::introspect`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Introspected {
    /// The holder; None if the credential is not valid.
    pub principal: Option<Principal>,
}

/// A sign-in with a token.
#[derive(Serialize, Deserialize)]
pub struct SignIn {
    /// A configured token.
    pub token: String,
    /// Address that the person signs in from.
    pub source: String,
}

/// A session that has just begun.
#[derive(Serialize, Deserialize)]
pub struct NewSession {
    /// The credential of the session.
    pub session: String,
    /// Whose session it is.
    pub principal: Principal,
    /// Lifetime, seconds, unless it is ended before.
    pub ttl_s: i32,
}

/// Sends requests to access-service; each is bounded in time.
pub struct Client {
    http: reqwest::Client,
    url: String,
    credential: SecretString,
    wait: Duration,
}

impl Client {
    /// The client of one process.
    pub fn new(settings: &Access) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("jaego/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .pool_idle_timeout(IDLE_MAX)
            .build()?;
        let (url, credential) = (settings.url.trim_end_matches('/').to_owned(), settings.credential.clone());
        Ok(Self { http, url, credential, wait: Duration::from_millis(settings.timeout_ms) })
    }

    pub(crate) fn wait(&self) -> Duration {
        self.wait
    }

    /// Asks who holds a credential.
    pub async fn introspect(&self, issued: Issued) -> Result<Introspected, Problem> {
        self.post("introspect", &issued, TraceContext::new_root()).await
    }

    /// Begins a session for the holder of a configured token; None if the token is unknown.
    pub async fn sign_in(&self, sign_in: &SignIn, trace: TraceContext) -> Result<Option<NewSession>, Problem> {
        self.post("sessions", sign_in, trace).await
    }

    /// Ends a session, which may have ended already.
    pub async fn sign_out(&self, sign_out: &SignOut, trace: TraceContext) -> Result<(), Problem> {
        self.post("sessions/end", sign_out, trace).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        trace: TraceContext,
    ) -> Result<T, Problem> {
        let request = self
            .http
            .post(format!("{}/internal/{path}", self.url))
            .bearer_auth(self.credential.expose_secret())
            .header("traceparent", trace.to_string())
            .json(body);
        let asked = timeout(self.wait, async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        });
        match asked.await {
            Ok(Ok((StatusCode::OK, body))) => match serde_json::from_slice(&body) {
                Ok(answer) => Ok(answer),
                Err(error) => Err(unavailable(&error)),
            },
            Ok(Ok((status, _))) => Err(unavailable(&format!("it answered {status}"))),
            Ok(Err(error)) => Err(unavailable(&error.without_url())),
            Err(_) => Err(unavailable("it did not answer in time")),
        }
    }
}

/// The end of a session by its holder.
#[derive(Serialize, Deserialize)]
pub struct SignOut {
    /// The session.
    pub session: Issued,
    /// Address that the person signs out from.
    pub source: String,
}

/// The problem for a credential that cannot be checked.
pub(crate) fn unavailable(cause: &(impl std::fmt::Display + ?Sized)) -> Problem {
    tracing::warn!(error = %cause, "access-service gave no answer");
    let detail = "access-service does not answer, so this token or session cannot be checked; try again in a moment.";
    Problem::new(ProblemKind::Unavailable, detail).retry_after(RETRY_AFTER_S)
}
