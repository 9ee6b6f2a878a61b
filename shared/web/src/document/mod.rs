//! The OpenAPI document of a service: its header, and the parts that are the same for every operation.

mod examples;
mod problems;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

use super::idempotency_key::HEADER;
use crate::problem::ProblemBody;

/// Start of every reference to a schema.
const SCHEMAS: &str = "#/components/schemas/";

/// Creates a document with title, description, licence, the schema of problems, and the operators' bearer tokens as
/// the security scheme `operator`.
pub fn document(title: &str, description: &str) -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title(title)
                .description(Some(description))
                .version(env!("CARGO_PKG_VERSION"))
                .license(Some(license))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new().schema_from::<ProblemBody>().security_scheme("operator", bearer).build(),
        ))
        .build()
}

/// Completes the document for serving. Handlers declare only what is particular to them; the problems that follow
/// from an operation's inputs, their schema, and examples of whole bodies are added here.
pub fn complete(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    replace_inline_schemas(&mut document);
    close_request_bodies(&mut document);
    document_replays(&mut document);
    problems::add(&mut document);
    examples::add(&mut document);
    document
}

/// Unknown fields of a request are refused (but for the Factory's callback). A schema that responses have, too, stays
/// open, because fields may be added to them.
fn close_request_bodies(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let (mut in_requests, mut in_responses) = (BTreeSet::new(), BTreeSet::new());
    for (path, _, operation) in operations(document) {
        if let Some(body) = operation.get("requestBody").filter(|_| path.starts_with("/api/")) {
            collect_names(body, &schemas, &mut in_requests);
        }
        if let Some(responses) = operation.get("responses") {
            collect_names(responses, &schemas, &mut in_responses);
        }
    }
    for name in in_requests.difference(&in_responses) {
        let schema = &mut document["components"]["schemas"][name];
        if schema["properties"].is_object() {
            schema["additionalProperties"] = json!(false);
        }
    }
}

/// Collects the names of the schemas that `value` refers to, directly or not.
fn collect_names(value: &Value, schemas: &Value, names: &mut BTreeSet<String>) {
    let name = value["$ref"].as_str().and_then(|target| target.strip_prefix(SCHEMAS));
    if let Some(name) = name.filter(|name| names.insert((*name).to_owned())) {
        collect_names(&schemas[name], schemas, names);
    }
    match value {
        Value::Object(members) => members.values().for_each(|member| collect_names(member, schemas, names)),
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, schemas, names)),
        _ => {}
    }
}

/// Documents the header that marks a replayed response to an `Idempotency-Key`. (The Factory's callback also takes an
/// `Idempotency-Key`, but follows rules of its own.)
fn document_replays(document: &mut Value) {
    for (path, _, operation) in operations(document) {
        let parameters = operation.get("parameters").and_then(Value::as_array);
        let has_key = parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == HEADER));
        let Some(answers) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
        for (_, answer) in
            answers.iter_mut().filter(|(status, _)| has_key && path.starts_with("/api/") && status.starts_with('2'))
        {
            let schema = json!({"type": "boolean", "example": true});
            answer["headers"]["Idempotency-Replayed"] =
                json!({"description": "True if the same request was answered before.", "schema": schema});
        }
    }
}

/// The items of a generic page are inlined. A reference to the same schema replaces them, so that generated clients
/// get a named type.
fn replace_inline_schemas(document: &mut Value) {
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else { return };
    let named: Vec<(String, Value)> = schemas
        .iter()
        .filter(|(_, schema)| schema["properties"].is_object())
        .map(|(name, schema)| (name.clone(), schema.clone()))
        .collect();
    for part in schemas.values_mut().flat_map(children) {
        refer(part, &named);
    }
}

fn refer(value: &mut Value, named: &[(String, Value)]) {
    if let Some((name, _)) = named.iter().find(|(_, schema)| schema == value) {
        *value = json!({"$ref": format!("{SCHEMAS}{name}")});
    }
    for child in children(value) {
        refer(child, named);
    }
}

fn children(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(members) => members.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    }
}

/// Returns every operation with its path and method.
fn operations(document: &mut Value) -> impl Iterator<Item = (&str, &str, &mut Map<String, Value>)> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object_mut().into_iter().flatten();
        methods.filter_map(|(method, operation)| Some((path.as_str(), method.as_str(), operation.as_object_mut()?)))
    })
}
