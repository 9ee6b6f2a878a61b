//! Sessions. access-service keeps them; the browser has the credential of its session in a cookie that no script can
//! read. This program keeps no state, so any replica accepts any session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::http::header;
use jaego_access::settings::Access;
use jaego_access::{ACTIVE_MAX, Client, Known, NewSession, SignIn, SignInAnswer, SignInEnd, SignOut};
use jaego_contracts::issued::Issued;
use jaego_contracts::trace::TraceContext;
use jaego_web::auth::{Introspect as _, Principal, Role};
use jaego_web::problem::Problem;

/// Maximum length of a token.
pub const TOKEN_BYTES_MAX: usize = 1024;
/// Maximum time for which a page goes on receiving events while access-service does not answer.
const UNPROVEN_MAX: Duration = Duration::from_secs(60);

/// Time within which a person signs in at the identity provider, seconds.
const SIGN_IN_MAX_S: i32 = 600;

/// Signs operators in and recognizes their sessions.
pub struct Sessions {
    client: Arc<Client>,
    known: Arc<Known>,
    is_secure: bool,
}

#[derive(Clone)]
pub struct Session {
    pub name: String,
    pub role: Role,
    /// The credential, which is sent to the services.
    pub token: String,
    issued: Issued,
}

impl Sessions {
    /// `is_secure` restricts the cookie to https.
    pub fn new(settings: &Access, is_secure: bool) -> reqwest::Result<Self> {
        let client = Arc::new(Client::new(settings)?);
        Ok(Self { known: Arc::new(Known::new(client.clone())), client, is_secure })
    }

    /// Begins a session for this token's owner, and returns it with the `Set-Cookie` that keeps it; None for an unknown
    /// token.
    pub async fn sign_in(
        &self,
        token: &str,
        source: String,
        trace: TraceContext,
    ) -> Result<Option<(Principal, String)>, Problem> {
        // Longer texts are recorded as refused, too.
        let token = token.get(..TOKEN_BYTES_MAX).unwrap_or(token).to_owned();
        let begun = self.client.sign_in(&SignIn { token, source }, trace).await?;
        Ok(begun.map(|begun| (begun.principal.clone(), self.keep(&begun))))
    }

    /// Begins a sign-in at the identity provider: returns the address at which the person signs in, and the
    /// `Set-Cookie` with the secret of the sign-in.
    pub async fn begin_sign_in(&self, trace: TraceContext) -> Result<(String, String), Problem> {
        let begun = self.client.begin_sign_in(trace).await?;
        Ok((begun.url, self.sign_in_cookie(&begun.attempt, SIGN_IN_MAX_S)))
    }

    /// Finishes a sign-in at the identity provider.
    pub async fn finish_sign_in(&self, answer: &SignInAnswer, trace: TraceContext) -> Result<SignInEnd, Problem> {
        self.client.finish_sign_in(answer, trace).await
    }

    /// The secret of the sign-in that this browser has begun.
    pub fn attempt_of<'a>(&self, request: &'a HttpRequest) -> Option<&'a str> {
        named(request, self.sign_in_cookie_name())
    }

    /// The `Set-Cookie` that keeps a session.
    pub fn keep(&self, session: &NewSession) -> String {
        self.cookie(&session.session, session.ttl_s)
    }

    /// The `Set-Cookie` that removes the secret of a sign-in.
    pub fn forget_sign_in(&self) -> String {
        self.sign_in_cookie("", 0)
    }

    /// Ends the session of a request, and returns the `Set-Cookie` that removes its cookie.
    pub async fn sign_out(
        &self,
        request: &HttpRequest,
        source: String,
        trace: TraceContext,
    ) -> Result<String, Problem> {
        if let Some(session) = self.credential(request).map(|(_, issued)| issued) {
            self.client.sign_out(&SignOut { session, source }, trace).await?;
            self.known.forget(session).await;
        }
        Ok(self.cookie("", 0))
    }

    /// The session of a request; None if it has none, or one that has ended.
    pub async fn of(&self, request: &HttpRequest) -> Result<Option<Session>, Problem> {
        let Some((token, issued)) = self.credential(request) else { return Ok(None) };
        let holder = self.known.introspect(issued).await?;
        Ok(holder.map(|Principal { name, role, .. }| Session { name, role, token: token.to_owned(), issued }))
    }

    /// Returns when the session has ended.
    pub fn end_of(&self, session: &Session) -> impl Future<Output = ()> + use<> {
        let (known, issued) = (self.known.clone(), session.issued);
        async move {
            let mut proven_at = Instant::now();
            loop {
                tokio::time::sleep(ACTIVE_MAX).await;
                match known.introspect(issued).await {
                    Ok(Some(_)) => proven_at = Instant::now(),
                    Ok(None) => return,
                    Err(_) if proven_at.elapsed() >= UNPROVEN_MAX => return,
                    Err(_) => {}
                }
            }
        }
    }

    /// The credential in the cookie of a request.
    fn credential<'a>(&self, request: &'a HttpRequest) -> Option<(&'a str, Issued)> {
        let cookies = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
        Issued::in_cookies(cookies, self.cookie_name())
    }

    fn cookie(&self, value: &str, max_age_s: i32) -> String {
        self.set_cookie(self.cookie_name(), value, "Strict", max_age_s)
    }

    /// The provider's page leads back to us: with `Strict`, browsers would not send the cookie then.
    fn sign_in_cookie(&self, value: &str, max_age_s: i32) -> String {
        self.set_cookie(self.sign_in_cookie_name(), value, "Lax", max_age_s)
    }

    fn set_cookie(&self, name: &str, value: &str, same_site: &str, max_age_s: i32) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={max_age_s}{secure}")
    }

    fn sign_in_cookie_name(&self) -> &'static str {
        if self.is_secure { "__Host-jaego-sign-in" } else { "jaego-sign-in" }
    }

    /// With the prefix `__Host-`, browsers accept the cookie only with `Secure`, for this host alone and for all paths.
    fn cookie_name(&self) -> &'static str {
        if self.is_secure { "__Host-jaego-session" } else { "jaego-session" }
    }
}

/// The cookie of this name.
fn named<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let cookies = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}
