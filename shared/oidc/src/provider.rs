//! Requests to the provider.

use std::time::Duration;

use jsonwebtoken::{DecodingKey, decode_header};
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{RwLock, Semaphore};
use tokio::time::timeout;
use url::Url;

use crate::attempt::Attempt;
use crate::exchange::send;
use crate::id_token::{self, Expected, subject};
use crate::keys::Keys;
use crate::{Claims, Error, verify};

/// Maximum time of one request.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Age from which the provider's metadata are fetched again.
const METADATA_AGE_MAX: Duration = Duration::from_secs(3600);
/// Maximum sign-ins that are exchanged at once: strangers can make up codes, and must not flood the provider.
const EXCHANGES_MAX: usize = 16;
/// Lifetime of an access token whose answer does not tell it.
const LIFETIME_S_DEFAULT: u64 = 300;

/// A registration at the provider.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's id.
    pub id: String,
    /// None for a public client, such as a program on a person's machine.
    pub secret: Option<SecretString>,
}

/// Parameters of a sign-in at the provider.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The client that asks.
    pub client: &'a Client,
    /// The address to which the provider returns.
    pub redirect_url: &'a str,
    /// The scopes.
    pub scopes: &'a [String],
    /// Value of the parameter `prompt`, unless empty.
    pub prompt: &'a str,
}

/// The provider's answer to a browser.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The state that the sign-in began with.
    pub state: &'a str,
    /// The code.
    pub code: &'a str,
    /// The provider, if it says so (RFC 9207).
    pub issuer: Option<&'a str>,
}

/// Tokens by which the provider is asked again.
#[derive(Clone, Serialize, Deserialize)]
pub struct Tokens {
    refresh: Option<String>,
    access: String,
    /// Seconds since 1970.
    access_expires_at: u64,
}

/// A person as the provider describes them now.
pub struct Grant {
    /// Identifies the person at this provider.
    pub subject: String,
    /// Claims about the person, as far as they were asked for.
    pub claims: Claims,
    /// For the next question.
    pub tokens: Tokens,
}

/// An OpenID Connect provider.
pub struct Provider {
    http: reqwest::Client,
    issuer: String,
    metadata: RwLock<Option<(Metadata, tokio::time::Instant)>>,
    keys: RwLock<Option<Keys>>,
    exchanges: Semaphore,
}

#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    refresh_token: Option<String>,
    id_token: Option<String>,
    /// A number, which some providers send as a text.
    expires_in: Option<Value>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

impl TokenAnswer {
    fn lifetime_s(&self) -> u64 {
        let read = |told: &Value| told.as_u64().or_else(|| told.as_str()?.parse().ok());
        self.expires_in.as_ref().and_then(read).unwrap_or(LIFETIME_S_DEFAULT)
    }
}

impl Provider {
    /// Asks nothing yet. `ca_file` names further authorities that may certify the provider.
    pub fn new(issuer: &str, ca_file: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        verify::install();
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("jaego/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(REQUEST_MAX);
        if let Some(pem) = jaego_net::tls::authorities(ca_file)? {
            http = http.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem.as_bytes())?);
        }
        Ok(Self {
            http: http.build()?,
            issuer: issuer.to_owned(),
            metadata: RwLock::new(None),
            keys: RwLock::new(None),
            exchanges: Semaphore::new(EXCHANGES_MAX),
        })
    }

    /// The address at which a person signs in.
    pub async fn authorization_url(&self, request: &Request<'_>, attempt: &Attempt) -> Result<String, Error> {
        let metadata = self.metadata().await?;
        let mut url = Url::parse(&metadata.authorization_endpoint).map_err(Error::unavailable)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &request.client.id)
            .append_pair("redirect_uri", request.redirect_url)
            .append_pair("scope", &request.scopes.join(" "))
            .append_pair("state", &attempt.state())
            .append_pair("nonce", &attempt.nonce())
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        if !request.prompt.is_empty() {
            url.query_pairs_mut().append_pair("prompt", request.prompt);
        }
        Ok(url.into())
    }

    /// Exchanges the code for the person who has signed in. `wanted` names the claims that are needed.
    pub async fn redeem(
        &self,
        request: &Request<'_>,
        attempt: &Attempt,
        answer: &Answer<'_>,
        wanted: &[&str],
    ) -> Result<Grant, Error> {
        if !attempt.has_state(answer.state) {
            return Err(Error::refused("the answer belongs to another sign-in"));
        }
        let metadata = self.metadata().await?;
        match answer.issuer {
            Some(issuer) if issuer != self.issuer => return Err(Error::refused("another provider has answered")),
            None if metadata.authorization_response_iss_parameter_supported => {
                return Err(Error::refused("the answer does not name its provider"));
            }
            _ => {}
        }
        let Ok(Ok(_place)) = timeout(REQUEST_MAX, self.exchanges.acquire()).await else {
            return Err(Error::unavailable("too many sign-ins are under way"));
        };
        let verifier = attempt.verifier();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", answer.code),
            ("redirect_uri", request.redirect_url),
            ("code_verifier", &verifier),
        ];
        let answer = self.tokens(&metadata, request.client, &form).await?;
        let id_token = answer.id_token.as_deref().ok_or_else(|| id_token::refused("there is none"))?;
        let nonce = attempt.nonce();
        let claims = self.check(&metadata, id_token, &request.client.id, Some(&nonce)).await?;
        self.grant(&metadata, answer, claims, None, wanted).await
    }

    /// Asks again about a person, who must be `subject`.
    pub async fn ask_again(
        &self,
        client: &Client,
        tokens: Tokens,
        subject: &str,
        wanted: &[&str],
    ) -> Result<Grant, Error> {
        let metadata = self.metadata().await?;
        let (answer, claims) = match &tokens.refresh {
            Some(refresh) => {
                let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
                let answer = self.tokens(&metadata, client, &form).await?;
                let claims = match answer.id_token.as_deref() {
                    Some(token) => self.check(&metadata, token, &client.id, None).await?,
                    None => Claims::new(),
                };
                (answer, claims)
            }
            None if tokens.access_expires_at <= jsonwebtoken::get_current_timestamp() => {
                return Err(Error::refused("the access token has expired, and there is no refresh token"));
            }
            None => {
                let left = tokens.access_expires_at.saturating_sub(jsonwebtoken::get_current_timestamp());
                let access_token = tokens.access.clone();
                let answer =
                    TokenAnswer { access_token, refresh_token: None, id_token: None, expires_in: Some(left.into()) };
                (answer, Claims::new())
            }
        };
        let mut grant = self.grant(&metadata, answer, claims, Some(subject), wanted).await?;
        // A provider that does not replace the refresh token sends none.
        grant.tokens.refresh = grant.tokens.refresh.or(tokens.refresh);
        Ok(grant)
    }

    /// Adds the claims that the ID token lacks, and checks that everything is about one person.
    async fn grant(
        &self,
        metadata: &Metadata,
        answer: TokenAnswer,
        mut claims: Claims,
        known: Option<&str>,
        wanted: &[&str],
    ) -> Result<Grant, Error> {
        let known = known.or_else(|| subject(&claims)).ok_or_else(|| id_token::refused("no subject"))?.to_owned();
        if claims.contains_key("sub") && subject(&claims) != Some(&known) {
            return Err(Error::refused("the ID token is about someone else"));
        }
        let lacks = claims.is_empty() || wanted.iter().any(|name| !claims.contains_key(*name));
        if let (true, Some(endpoint)) = (lacks, &metadata.userinfo_endpoint) {
            let further = self.userinfo(endpoint, &answer.access_token).await?;
            if subject(&further) != Some(&known) {
                return Err(Error::refused("the userinfo is about someone else"));
            }
            for (name, value) in further {
                claims.entry(name).or_insert(value);
            }
        }
        let lifetime_s = answer.lifetime_s();
        let access_expires_at = jsonwebtoken::get_current_timestamp().saturating_add(lifetime_s);
        let tokens = Tokens { refresh: answer.refresh_token, access: answer.access_token, access_expires_at };
        Ok(Grant { subject: known, claims, tokens })
    }

    async fn check(
        &self,
        metadata: &Metadata,
        token: &str,
        client_id: &str,
        nonce: Option<&str>,
    ) -> Result<Claims, Error> {
        let header = decode_header(token).map_err(id_token::refused)?;
        let key = self.key(metadata, &header).await?;
        id_token::check(token, &key, &Expected { algorithm: header.alg, issuer: &self.issuer, client_id, nonce })
    }

    /// The key that a token names. An unknown key may be a new one, so the keys are fetched again, but not for each of
    /// many forged tokens.
    async fn key(&self, metadata: &Metadata, header: &jsonwebtoken::Header) -> Result<DecodingKey, Error> {
        if let Some(keys) = self.keys.read().await.as_ref().filter(|keys| !keys.is_old())
            && let Some(key) = keys.find(header)
        {
            return Ok(key);
        }
        let mut keys = self.keys.write().await;
        let known = keys.as_ref().filter(|keys| !keys.is_old());
        if let Some(key) = known.and_then(|keys| keys.find(header)) {
            return Ok(key);
        }
        if known.is_some_and(|keys| !keys.may_be_fetched_again()) {
            return Err(id_token::refused("its key is not among the provider's"));
        }
        let answered = send(self.http.get(&metadata.jwks_uri)).await?.success()?;
        let fetched = Keys::read(&answered.body).map_err(Error::unavailable)?;
        keys.insert(fetched).find(header).ok_or_else(|| id_token::refused("its key is not among the provider's"))
    }

    async fn metadata(&self) -> Result<Metadata, Error> {
        let current = |known: &Option<(Metadata, tokio::time::Instant)>| {
            let known = known.as_ref().filter(|(_, fetched_at)| fetched_at.elapsed() < METADATA_AGE_MAX);
            known.map(|(metadata, _)| metadata.clone())
        };
        if let Some(metadata) = current(&*self.metadata.read().await) {
            return Ok(metadata);
        }
        let mut known = self.metadata.write().await;
        if let Some(metadata) = current(&known) {
            return Ok(metadata);
        }
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let metadata: Metadata = send(self.http.get(address)).await?.success()?.read()?;
        if metadata.issuer != self.issuer {
            return Err(Error::unavailable(format_args!("its metadata are of the issuer {}", metadata.issuer)));
        }
        let Metadata { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint, .. } = &metadata;
        let endpoints = [authorization_endpoint, token_endpoint, jwks_uri].into_iter().chain(userinfo_endpoint);
        if let Some(unsafe_one) = endpoints.into_iter().find(|endpoint| !is_safe(endpoint)) {
            return Err(Error::unavailable(format_args!("its endpoint {unsafe_one} is not an https URL")));
        }
        *known = Some((metadata.clone(), tokio::time::Instant::now()));
        Ok(metadata)
    }

    async fn tokens(&self, metadata: &Metadata, client: &Client, form: &[(&str, &str)]) -> Result<TokenAnswer, Error> {
        let mut form = form.to_vec();
        let supported = &metadata.token_endpoint_auth_methods_supported;
        let takes = |method: &str| supported.iter().any(|known| known == method);
        let mut request = self.http.post(&metadata.token_endpoint);
        match client.secret.as_ref().map(SecretString::expose_secret) {
            Some(secret) if takes("client_secret_post") && !takes("client_secret_basic") => {
                form.extend([("client_id", client.id.as_str()), ("client_secret", secret)]);
            }
            Some(secret) => request = request.basic_auth(form_encoded(&client.id), Some(form_encoded(secret))),
            None => form.push(("client_id", &client.id)),
        }
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let answered = send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await?;
        if matches!(answered.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            // Other errors, such as `invalid_client`, are about this program and not about the person.
            let ErrorAnswer { error } = answered.read()?;
            return Err(match error.as_str() {
                "invalid_grant" => Error::refused("the provider does not accept the code or the refresh token"),
                "interaction_required" | "login_required" | "consent_required" => {
                    Error::refused("the provider wants the person to sign in again")
                }
                other => Error::unavailable(format_args!("it answers with the error {}", printable(other))),
            });
        }
        answered.success()?.read()
    }

    async fn userinfo(&self, endpoint: &str, access_token: &str) -> Result<Claims, Error> {
        let answered = send(self.http.get(endpoint).bearer_auth(access_token)).await?;
        if matches!(answered.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(Error::refused("the provider does not accept the access token"));
        }
        answered.success()?.read()
    }
}

/// True for an https URL. On this machine, http is as good: a provider for development.
pub fn is_safe(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(url::Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(url::Host::Ipv6(address))) => address.is_loopback(),
        ("http", Some(url::Host::Domain(name))) => name == "localhost",
        _ => false,
    })
}

/// As RFC 6749, section 2.3.1, wants credentials in a header.
fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The beginning of a text of someone else, for the log.
fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_read_in_every_form() {
        for (told, expected) in [("3599", 3599), ("\"3599\"", 3599), ("null", 300), ("\"soon\"", 300)] {
            let answer = format!(r#"{{"access_token": "a", "expires_in": {told}}}"#);
            let answer: TokenAnswer = serde_json::from_str(&answer).expect("an answer");
            assert_eq!(answer.lifetime_s(), expected, "{told}");
        }
    }
}
