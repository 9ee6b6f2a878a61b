//! Sessions. The browser keeps the operator's token, sealed in a cookie that no script can read. This program keeps
//! no state, so any replica accepts any session.

pub mod attempts;
mod sealed;

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::HttpRequest;
use actix_web::http::header;
use jaego_web::auth::{OperatorTokens, Role};
use serde::{Deserialize, Serialize};

pub use sealed::{Sealer, UnusableKey};

use crate::settings;

/// Maximum length of a token.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// Signs operators in and recognizes their sessions.
pub struct Sessions {
    sealer: Sealer,
    tokens: OperatorTokens,
    ttl_s: u32,
    is_secure: bool,
}

/// Content of the cookie.
#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    /// Seconds since 1970; the browser's own clock is not relied on.
    ends_at: u64,
}

#[derive(Clone)]
pub struct Session {
    /// Name that is configured with the token.
    pub name: String,
    pub role: Role,
    /// Sent to the services.
    pub token: String,
    /// Seconds since 1970.
    pub ends_at: u64,
}

impl Sessions {
    /// Uses the operators of `auth.tokens`.
    pub fn new(settings: &settings::Session, tokens: OperatorTokens) -> Result<Self, UnusableKey> {
        let key = settings.key_bytes().ok_or(UnusableKey)?;
        let (ttl_s, is_secure) = (settings.ttl_s, settings.secure);
        Ok(Self { sealer: Sealer::new(&key, cookie_name(is_secure))?, tokens, ttl_s, is_secure })
    }

    /// Returns the session of this token's owner and the `Set-Cookie` that keeps it; None for an unknown token.
    pub fn sign_in(&self, token: &str) -> Option<(Session, String)> {
        let ends_at = now() + u64::from(self.ttl_s);
        let session = self.of_token(token.to_owned(), ends_at)?;
        let kept = serde_json::to_vec(&Kept { token: session.token.clone(), ends_at }).ok()?;
        let cookie = self.cookie(&self.sealer.seal(kept)?, self.ttl_s);
        Some((session, cookie))
    }

    /// The `Set-Cookie` that ends a session.
    pub fn sign_out(&self) -> String {
        self.cookie("", 0)
    }

    /// The session of a request. None if its token is no longer configured.
    pub fn of(&self, request: &HttpRequest) -> Option<Session> {
        let cookies = request.headers().get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
        let mut named = cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, sealed) = named.find(|(name, _)| *name == cookie_name(self.is_secure))?;
        let kept: Kept = serde_json::from_slice(&self.sealer.open(sealed)?).ok()?;
        if kept.ends_at <= now() {
            return None;
        }
        self.of_token(kept.token, kept.ends_at)
    }

    fn of_token(&self, token: String, ends_at: u64) -> Option<Session> {
        let known = self.tokens.find(&token).filter(|_| token.len() <= TOKEN_BYTES_MAX)?;
        Some(Session { name: known.name().to_owned(), role: known.role(), token, ends_at })
    }

    fn cookie(&self, value: &str, max_age_s: u32) -> String {
        let name = cookie_name(self.is_secure);
        let secure = if self.is_secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}")
    }
}

/// With the prefix `__Host-`, browsers accept the cookie only with `Secure`, for this host alone and for all paths.
fn cookie_name(is_secure: bool) -> &'static str {
    if is_secure { "__Host-jaego-session" } else { "jaego-session" }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn sessions(ttl_s: u32, secure: bool, token: &str) -> Sessions {
        let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(token.as_bytes()));
        let settings = settings::Session { key: "5a".repeat(64).into(), ttl_s, secure, attempts_per_minute_max: 1 };
        Sessions::new(&settings, OperatorTokens::from_settings(&[format!("kim:operator:{digest}")])).expect("a key")
    }

    fn request(cookie: &str) -> HttpRequest {
        let pair = cookie.split(';').next().unwrap_or_default();
        TestRequest::default().insert_header((header::COOKIE, format!("other=1; {pair}"))).to_http_request()
    }

    #[test]
    fn a_session_is_known_again_until_it_ends() {
        let (session, cookie) = sessions(3600, true, "right").sign_in("right").expect("signed in");
        assert_eq!((session.name.as_str(), session.role), ("kim", Role::Operator));
        assert!(!cookie.contains("right"));
        for part in ["__Host-jaego-session=", "; Path=/", "; HttpOnly", "; SameSite=Strict", "; Secure"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let again = sessions(3600, true, "right").of(&request(&cookie)).expect("another replica knows it");
        assert_eq!(again.token, "right");
        let (_, ended) = sessions(0, true, "right").sign_in("right").expect("signed in");
        assert!(sessions(3600, true, "right").of(&request(&ended)).is_none());
        assert!(sessions(3600, true, "other").of(&request(&cookie)).is_none(), "the token was taken back");
        assert!(sessions(3600, false, "right").of(&request(&cookie)).is_none(), "a cookie of another name");
        assert!(sessions(3600, true, "right").sign_in("wrong").is_none());
    }

    #[test]
    fn a_cookie_that_was_touched_opens_nothing() {
        let own = sessions(3600, false, "right");
        let (_, cookie) = own.sign_in("right").expect("signed in");
        assert!(own.of(&request(&cookie)).is_some() && !cookie.contains("Secure"));
        let value = cookie.split(';').next().unwrap_or_default().to_owned();
        let longer = format!("{value}AAAA");
        let changed = value.replace(&value[30..31], if &value[30..31] == "A" { "B" } else { "A" });
        for bad in [longer.as_str(), &changed, "jaego-session=", "jaego-session=x", "jaego-session"] {
            assert!(own.of(&request(bad)).is_none(), "{bad}");
        }
    }
}
