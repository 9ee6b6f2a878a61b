//! The checks of an ID token (OpenID Connect Core 1.0, section 3.1.3.7).

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::Value;

use crate::attempt::is_equal;
use crate::{Claims, Error};

/// Maximum difference between the provider's clock and this machine's, seconds.
const CLOCK_SKEW_S: u64 = 60;
/// Maximum length of a subject; the specification says 255 ASCII characters.
const SUBJECT_BYTES_MAX: usize = 255;

/// The values that a token must have.
pub(crate) struct Expected<'a> {
    /// The algorithm that the key is for.
    pub(crate) algorithm: Algorithm,
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    /// None for the token of a refresh, which has none.
    pub(crate) nonce: Option<&'a str>,
}

/// Verifies the signature with `key` and the claims, and returns them.
pub(crate) fn check(token: &str, key: &DecodingKey, expected: &Expected<'_>) -> Result<Claims, Error> {
    let mut validation = Validation { leeway: CLOCK_SKEW_S, validate_nbf: true, ..Validation::new(expected.algorithm) };
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    let claims: Claims = decode(token, key, &validation).map_err(refused)?.claims;
    // The library also accepts a list of issuers.
    require(text(&claims, "iss") == Some(expected.issuer), "another issuer")?;
    require(subject(&claims).is_some(), "no subject")?;
    let has_others = claims.get("aud").and_then(Value::as_array).is_some_and(|all| all.len() > 1);
    let authorized = claims.get("azp");
    require(authorized.is_some() || !has_others, "it is for others, too")?;
    require(authorized.is_none_or(|azp| azp == expected.client_id), "it was issued to another client")?;
    let issued_at = claims.get("iat").and_then(Value::as_f64).unwrap_or(f64::MAX);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a float")]
    let now = jsonwebtoken::get_current_timestamp() as f64;
    #[expect(clippy::cast_precision_loss, reason = "a minute is exact in a float")]
    let skew = CLOCK_SKEW_S as f64;
    require(issued_at <= now + skew, "it is of the future, or does not say when it was issued")?;
    if let Some(nonce) = expected.nonce {
        require(text(&claims, "nonce").is_some_and(|given| is_equal(nonce, given)), "another nonce")?;
    }
    Ok(claims)
}

/// The identifier of the person, which the provider never gives to someone else.
pub(crate) fn subject(claims: &Claims) -> Option<&str> {
    text(claims, "sub").filter(|subject| (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) && !subject.contains('\0'))
}

pub(crate) fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

fn require(good: bool, otherwise: &str) -> Result<(), Error> {
    if good { Ok(()) } else { Err(refused(otherwise)) }
}

pub(crate) fn refused(cause: impl std::fmt::Display) -> Error {
    Error::refused(format_args!("the ID token is not valid: {cause}"))
}
