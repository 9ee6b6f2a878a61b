//! JSON bodies, read strictly: bounded, of the right media type, with no unknown field.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::BytesMut;
use actix_web::{FromRequest, HttpRequest};
use futures::StreamExt;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, ProblemKind};

/// Largest accepted body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// A larger body is read and discarded up to this size, so that its sender receives the response.
const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A body of `application/json` up to [`BODY_BYTES_MAX`], not yet parsed.
#[derive(Debug, Clone)]
pub struct RawJson(pub Vec<u8>);

/// A body of any media type up to [`BODY_BYTES_MAX`]; otherwise the problem to respond with: 413 when it is larger,
/// 400 when it is incomplete.
#[derive(Debug)]
pub struct AnyBody(pub Result<Vec<u8>, Problem>);

/// A body that is exactly a `T`.
#[derive(Debug, Clone)]
pub struct StrictJson<T>(pub T);

/// A body that is exactly a `T`; None when there is no body, or `null`.
#[derive(Debug, Clone)]
pub struct OptionalJson<T>(pub Option<T>);

impl FromRequest for RawJson {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let payload = payload.take();
        Box::pin(async move {
            let body = read(payload).await?;
            if is_json { Ok(Self(body)) } else { Err(other_media_type()) }
        })
    }
}

impl FromRequest for AnyBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(_: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = payload.take();
        Box::pin(async move { Ok(Self(read(payload).await)) })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for OptionalJson<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let payload = payload.take();
        Box::pin(async move {
            let body = read(payload).await?;
            match (body.is_empty(), is_json) {
                (true, _) => Ok(Self(None)),
                (false, true) => parse_strict(&body).map(Self),
                (false, false) => Err(other_media_type()),
            }
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for StrictJson<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let raw = RawJson::from_request(request, payload);
        Box::pin(async move { parse_strict(&raw.await?.0).map(Self) })
    }
}

fn is_json(request: &HttpRequest) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|text| text.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

fn other_media_type() -> Problem {
    Problem::new(ProblemKind::UnsupportedMediaType, "Send the body as `Content-Type: application/json`.")
}

async fn read(mut payload: Payload) -> Result<Vec<u8>, Problem> {
    let mut body = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(ProblemKind::MalformedRequest, format!("The body is incomplete: {error}."))
        })?;
        length += chunk.len();
        if length <= BODY_BYTES_MAX {
            body.extend_from_slice(&chunk);
        } else if length > DRAIN_BYTES_MAX {
            break;
        }
    }
    if length > BODY_BYTES_MAX {
        let detail = format!("The body may have at most {BODY_BYTES_MAX} bytes.");
        return Err(Problem::new(ProblemKind::PayloadTooLarge, detail));
    }
    Ok(body.to_vec())
}

/// Parses a body. Fails with 400 when it is not JSON, and with 422 when it is not a `T` (naming the path) or has
/// unknown fields (naming all of them).
pub fn parse_strict<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Most bodies are valid, so the paths of errors are tracked only in a second pass over an invalid one.
    match parse_if_right(body) {
        Some(value) => Ok(value),
        None => parse_for_faults(body),
    }
}

fn parse_if_right<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let mut is_right = true;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut note = |_: serde_ignored::Path<'_>| is_right = false;
    let value = T::deserialize(serde_ignored::Deserializer::new(&mut deserializer, &mut note)).ok()?;
    deserializer.end().ok()?;
    is_right.then_some(value)
}

fn parse_for_faults<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut unknown = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let result = {
        let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
        let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
        T::deserialize(serde_ignored::Deserializer::new(tracked, &mut note))
    };
    let malformed = |error: &serde_json::Error| {
        Problem::new(ProblemKind::MalformedRequest, format!("The body is not JSON: {error}."))
    };
    match result {
        Ok(value) => {
            deserializer.end().map_err(|error| malformed(&error))?;
            if unknown.is_empty() {
                return Ok(value);
            }
            let detail = format!("Unknown fields: {}. Leave them out.", unknown.join(", "));
            Err(Problem::new(ProblemKind::InvalidRequest, detail).with("unknown_fields", unknown))
        }
        Err(error) if error.is_data() => {
            let path = track.path().to_string();
            let detail = format!("{path}: {error}.");
            Err(Problem::new(ProblemKind::InvalidRequest, detail).with("field", path))
        }
        Err(error) => Err(malformed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use jaego_contracts::ids::Quantity;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Line {
        #[expect(dead_code, reason = "only its parsing is tested")]
        quantity: Quantity,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Order {
        #[expect(dead_code, reason = "only its parsing is tested")]
        lines: Vec<Line>,
    }

    fn refuse(body: &str) -> Problem {
        parse_strict::<Order>(body.as_bytes()).expect_err(body)
    }

    #[test]
    fn each_fault_has_its_problem() {
        assert!(parse_strict::<Order>(br#"{"lines":[{"quantity":1}]}"#).is_ok());
        for malformed in ["", "{", "nonsense", r#"{"lines":[]} trailing"#] {
            assert_eq!(refuse(malformed).kind(), ProblemKind::MalformedRequest, "{malformed}");
        }
        for quantity in ["0", "-1", "1.5", "1000000000000", "\"1\"", "null", "1e3"] {
            let problem = refuse(&format!(r#"{{"lines":[{{"quantity":{quantity}}}]}}"#));
            assert_eq!(problem.kind(), ProblemKind::InvalidRequest, "{quantity}");
            assert!(problem.detail().starts_with("lines[0].quantity"), "{}", problem.detail());
        }
        let problem = refuse(r#"{"lines":[{"quantity":1,"colour":2}],"extra":{}}"#);
        assert!(
            problem.detail().contains("lines.0.colour") && problem.detail().contains("extra"),
            "{}",
            problem.detail()
        );
    }
}
