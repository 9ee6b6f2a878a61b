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

/// A sign-in at the identity provider that has begun.
#[derive(Serialize, Deserialize)]
pub struct SignInBegun {
    /// The secret of this sign-in, which only its browser may have.
    pub attempt: String,
    /// The page at which the person signs in.
    pub url: String,
}

/// The answer of the identity provider to a browser.
#[derive(Serialize, Deserialize)]
pub struct SignInAnswer {
    /// The secret that the sign-in began with.
    pub attempt: String,
    /// The state of the sign-in.
    pub state: String,
    /// The code, unless the provider has refused.
    pub code: Option<String>,
    /// The provider's error.
    pub error: Option<String>,
    /// The provider that answers (RFC 9207).
    pub iss: Option<String>,
    /// Address that the person signs in from.
    pub source: String,
}

/// The end of a sign-in at the identity provider.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignInEnd {
    /// The person is signed in.
    Begun(NewSession),
    /// The person is not.
    Refused(SignInRefusal),
}

/// Why a sign-in at the identity provider began no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignInRefusal {
    /// It was begun in another browser, has expired, or was finished before.
    NotBegun,
    /// The person or the provider has refused.
    Denied,
    /// The provider has answered with an error.
    ProviderError,
    /// The code or the ID token is not valid.
    NotAccepted,
    /// No group of the person gives a role.
    NoRole,
    /// Someone else has this name.
    NameTaken,
}

impl SignInRefusal {
    /// The name by which pages and the audit log know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotBegun => "not-begun",
            Self::Denied => "denied",
            Self::ProviderError => "provider-error",
            Self::NotAccepted => "not-accepted",
            Self::NoRole => "no-role",
            Self::NameTaken => "name-taken",
        }
    }
}

/// A session that has just begun.
#[derive(Serialize, Deserialize)]
pub struct NewSession {
    /// The credential of the session.
    pub session: String,
    /// The holder of the session.
    pub principal: Principal,
    /// Lifetime, seconds, unless it is ended before.
    pub ttl_s: i32,
}

/// Maximum wait for a sign-in at the identity provider, which takes several requests to it.
const PROVIDER_MAX: Duration = Duration::from_secs(15);

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

    /// Begins a sign-in at the identity provider.
    pub async fn begin_sign_in(&self, trace: TraceContext) -> Result<SignInBegun, Problem> {
        self.post_within(PROVIDER_MAX, "sign-ins/begin", &(), trace).await
    }

    /// Finishes a sign-in at the identity provider.
    pub async fn finish_sign_in(&self, answer: &SignInAnswer, trace: TraceContext) -> Result<SignInEnd, Problem> {
        self.post_within(PROVIDER_MAX, "sign-ins/finish", answer, trace).await
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
        self.post_within(self.wait, path, body, trace).await
    }

    async fn post_within<T: DeserializeOwned>(
        &self,
        wait: Duration,
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
        let asked = timeout(wait, async {
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
