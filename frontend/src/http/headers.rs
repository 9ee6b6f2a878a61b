//! Headers of every answer: what pages may do, and which origins may use an answer.

use std::sync::LazyLock;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use actix_web::middleware::Next;
use actix_web::web::Data;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::State;

/// The style that react-aria inserts into a page, so that nothing scrolls behind an open dialog on iOS. (Its other
/// style, for touch devices, is in our own style sheets.) Any other text is blocked, so that a new one is noticed.
const ADDED_STYLE: &str = "@layer {\n  * {\n    overscroll-behavior: contain;\n  }\n}";

/// Scripts, styles, images, fonts and requests may come from this origin only, and no page may frame ours. Images may
/// also be data URLs, because the styles contain small ones.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let added = STANDARD.encode(Sha256::digest(ADDED_STYLE));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-{added}'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    // The policy has only characters that a header may have, so this cannot fail. The fallback allows nothing to be
    // loaded.
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    // For browsers that do not support frame-ancestors.
    ("x-frame-options", "DENY"),
];

pub(super) async fn add(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let mut response = next.call(request).await?;
    let hsts = response.request().app_data::<Data<State>>().and_then(|state| state.hsts.clone());
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("content-security-policy"), CONTENT_SECURITY_POLICY.clone());
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Some(hsts) = hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_style_by_its_hash() {
        let policy = CONTENT_SECURITY_POLICY.to_str().expect("text");
        // As printed by `openssl dgst -sha256 -binary | base64` for the text.
        assert!(policy.contains("'sha256-gYiS/BvZvRcK27JIXTuwhZ3hs2+VJ1X+2gUlE+farlg='"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
