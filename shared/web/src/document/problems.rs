//! Problem responses: those that follow from an operation's inputs are added to it, and each gets its schema and
//! examples.

use serde_json::{Map, Value, json};

use super::operations;
use crate::problem::ProblemKind;

/// Problems that a handler need not declare: the kind, and its description in every operation.
const COMMON: [(ProblemKind, &str); 10] = [
    (ProblemKind::MalformedRequest, "A part of the path, a query value, a header or the body cannot be read."),
    (ProblemKind::Unauthorized, "Send `Authorization: Bearer <token>` with an operator's token."),
    (ProblemKind::Forbidden, "This needs a token with role operator."),
    (ProblemKind::PayloadTooLarge, "The body may have at most 65536 bytes."),
    (ProblemKind::UnsupportedMediaType, "Send the body as `Content-Type: application/json`."),
    (
        ProblemKind::InvalidRequest,
        "A value is not valid, or a field is unknown: `field` or `unknown_fields` says which.",
    ),
    (
        ProblemKind::TooManyAttempts,
        "Too many wrong tokens came from this address; try again after `Retry-After` seconds.",
    ),
    (ProblemKind::TooManyRequests, "Too many requests come from this address; try again after `Retry-After` seconds."),
    (ProblemKind::Internal, "The service failed; give the trace id to its operators."),
    (
        ProblemKind::Unavailable,
        "The database does not answer; or `overloaded`: too many requests wait. Try again after `Retry-After` seconds.",
    ),
];

/// Handlers name the kinds of a problem response by their slugs in its description; the rest is added here.
pub(super) fn add(document: &mut Value) {
    let components: Map<String, Value> = COMMON
        .into_iter()
        .map(|(kind, sentence)| {
            (name(kind), answer(kind.status(), &format!("`{}`: {sentence}", kind.slug()), "/api/v1/stock"))
        })
        .collect();
    document["components"]["responses"] = components.into();
    for (path, method, operation) in operations(document) {
        let follows = |kind| follows(kind, path, method, operation);
        let common: Vec<ProblemKind> = COMMON.into_iter().map(|(kind, _)| kind).filter(|kind| follows(*kind)).collect();
        let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
        for (status, response) in responses.iter_mut() {
            let Some(status) = status.parse().ok().filter(|status| *status >= 400) else { continue };
            let said = response["description"].as_str().unwrap_or_default();
            let mut whole = answer(status, said, path);
            // The handler declares a schema of its own, with its own extensions.
            if let Some(schema) = response.pointer("/content/application~1problem+json/schema")
                && schema["$ref"] != PROBLEM
            {
                whole["content"] = response["content"].clone();
            }
            *response = whole;
        }
        for kind in common {
            let reference = json!({"$ref": format!("#/components/responses/{}", name(kind))});
            responses.entry(kind.status().to_string()).or_insert(reference);
        }
    }
}

const PROBLEM: &str = "#/components/schemas/Problem";

fn follows(kind: ProblemKind, path: &str, method: &str, operation: &Map<String, Value>) -> bool {
    let has_body = operation.contains_key("requestBody");
    let takes = |place: Option<&str>| {
        let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
        parameters.into_iter().any(|parameter| place.is_none_or(|place| parameter["in"] == place))
    };
    let is_secured = operation.contains_key("security");
    match kind {
        ProblemKind::MalformedRequest => has_body || takes(None),
        ProblemKind::Unauthorized | ProblemKind::TooManyAttempts => is_secured,
        ProblemKind::Forbidden => is_secured && method != "get",
        ProblemKind::PayloadTooLarge | ProblemKind::UnsupportedMediaType => has_body,
        // The Factory's callback is read leniently.
        ProblemKind::InvalidRequest => path.starts_with("/api/") && (has_body || takes(Some("query"))),
        // The Factory's callbacks are not limited.
        ProblemKind::TooManyRequests => !is_secured && path.starts_with("/api/"),
        ProblemKind::Internal | ProblemKind::Unavailable => true,
        _ => false,
    }
}

/// `payload-too-large` as `PayloadTooLarge`.
fn name(kind: ProblemKind) -> String {
    format!("{kind:?}")
}

/// A problem response, with an example for each kind that its description names.
fn answer(status: u16, said: &str, instance: &str) -> Value {
    let of_status = || ProblemKind::ALL.iter().copied().filter(|kind| kind.status() == status);
    let mut kinds: Vec<ProblemKind> = of_status().filter(|kind| said.contains(&format!("`{}`", kind.slug()))).collect();
    if kinds.is_empty() {
        let common = COMMON.into_iter().map(|(kind, _)| kind).find(|kind| kind.status() == status);
        kinds.extend(common.or_else(|| of_status().next()));
    }
    let detail = |kind: ProblemKind| match kinds.as_slice() {
        [_] => said.split_once("`: ").map_or(said, |(_, sentence)| sentence).to_owned(),
        _ => format!("{}.", kind.title()),
    };
    let example = |kind: &ProblemKind| {
        let value = json!({
            "type": format!("/problems/{}", kind.slug()), "title": kind.title(), "status": status,
            "detail": detail(*kind), "instance": instance, "trace_id": super::examples::TRACE_ID,
        });
        (kind.slug().to_owned(), json!({"value": value}))
    };
    let examples: Map<String, Value> = kinds.iter().map(example).collect();
    let said = if said.is_empty() { kinds.first().map_or("", |kind| kind.title()) } else { said };
    let mut answer = json!({
        "description": said,
        "content": {"application/problem+json": {"schema": {"$ref": PROBLEM}, "examples": examples}},
    });
    if matches!(status, 429 | 503) {
        let schema = json!({"type": "integer", "minimum": 0, "example": 1});
        answer["headers"] = json!({"Retry-After": {"description": "Seconds to wait.", "schema": schema}});
    }
    answer
}
