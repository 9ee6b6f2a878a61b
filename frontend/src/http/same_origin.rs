//! Only our own pages may send requests that change something.
//!
//! Browsers do not send the session cookie with requests of other sites (`SameSite`). That does not cover other hosts
//! of the same registered domain, nor orders, which need no session. Browsers state the origin of a request: newer
//! ones in `Sec-Fetch-Site`, all in `Origin`.

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use jaego_web::problem::{Problem, ProblemKind};

pub(super) async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    if matches!(*request.method(), Method::GET | Method::HEAD) || is_same_origin(&request) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let problem = Problem::new(
        ProblemKind::Forbidden,
        "Only pages of this origin may send this request; Sec-Fetch-Site, or else Origin, is missing or names another one.",
    );
    let (request, _) = request.into_parts();
    let answer: HttpResponse = problem.respond_to(&request);
    Ok(ServiceResponse::new(request, answer))
}

fn is_same_origin(request: &ServiceRequest) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    // The scheme is not compared, because TLS may end at a proxy.
    let origin = text(header::ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
    match (origin, text(header::HOST.as_str())) {
        (Some((_, origin)), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    // Control: same-origin.
    #[test]
    fn requests_of_other_origins_are_refused() {
        let asked = |headers: &[(&'static str, &str)]| {
            let request = headers.iter().fold(TestRequest::post(), |request, pair| request.insert_header(*pair));
            is_same_origin(&request.to_srv_request())
        };
        let host = ("host", "shop.example:8443");
        assert!(asked(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(asked(&[host, ("origin", "https://shop.example:8443")]));
        for other in [
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "none"),
            ("origin", "https://shop.example"),
            ("origin", "https://evil.example:8443"),
            ("origin", "null"),
            ("referer", "https://shop.example:8443/"),
        ] {
            assert!(!asked(&[host, other]), "{other:?}");
        }
        // `Sec-Fetch-Site` takes precedence, because no page can set it.
        assert!(!asked(&[host, ("origin", "https://shop.example:8443"), ("sec-fetch-site", "cross-site")]));
    }
}
