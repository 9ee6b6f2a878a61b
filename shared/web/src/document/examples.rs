//! Examples of whole bodies, composed from the examples of their parts.

use serde_json::{Map, Value, json};

use super::{SCHEMAS, children, operations};

/// Examples for schemas that declare only a `format`.
const UUID: &str = "01a2051b-cec2-7f09-8a1c-5b7e2d40c8f3";
const TIME: &str = "2026-11-22T21:14:38.298478Z";
pub(super) const TRACE_ID: &str = "948201e16e0450bf03af103fe5fca74b";

/// Gives every parameter and every body an example that follows from its schema. A declared example needs only the
/// members that are particular to it: other required members are added from their own examples.
pub(super) fn add(document: &mut Value) {
    let mut schemas = document.pointer("/components/schemas").and_then(Value::as_object).cloned().unwrap_or_default();
    let given = schemas.clone();
    for schema in schemas.values_mut().filter(|schema| schema.get("example").is_some()) {
        schema["example"] = example_of(schema, &given).unwrap_or_default();
    }
    for (_, _, operation) in operations(document) {
        let mut places: Vec<&mut Value> = Vec::new();
        for (name, part) in operation.iter_mut() {
            match name.as_str() {
                "parameters" => places.extend(children(part)),
                "requestBody" => places.extend(contents(part)),
                "responses" => places.extend(children(part).into_iter().flat_map(contents)),
                _ => {}
            }
        }
        for place in places.into_iter().filter_map(Value::as_object_mut) {
            let Some(schema) = place.get("schema").filter(|_| !place.contains_key("examples")) else { continue };
            let whole = example_of(schema, &schemas);
            let example = match place.get("example") {
                Some(given) => Some(complete(given, whole, &required(schema, &schemas))),
                None => whole,
            };
            if let Some(example) = example {
                place.insert("example".into(), example);
            }
        }
    }
    document["components"]["schemas"] = schemas.into();
}

/// The contents of a body, one for each media type.
fn contents(body: &mut Value) -> Vec<&mut Value> {
    body.get_mut("content").map(children).unwrap_or_default()
}

/// Adds the required members of `whole` that a declared example lacks.
fn complete(given: &Value, whole: Option<Value>, required: &[&str]) -> Value {
    let (Value::Object(given), Some(Value::Object(mut whole))) = (given, whole) else { return given.clone() };
    whole.retain(|name, _| required.contains(&name.as_str()));
    whole.extend(given.clone());
    whole.into()
}

/// Returns None when a required member has no example.
fn example_of(schema: &Value, schemas: &Map<String, Value>) -> Option<Value> {
    match schema.get("example").or_else(|| schema.get("default")) {
        Some(given) => Some(complete(given, put_together(schema, schemas, Some(given)), &required(schema, schemas))),
        None => put_together(schema, schemas, None),
    }
}

/// Composes an example from its parts; members of a declared example need no example of their own.
fn put_together(schema: &Value, schemas: &Map<String, Value>, given: Option<&Value>) -> Option<Value> {
    if let Some(named) = named(schema, schemas) {
        return example_of(named, schemas);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.first().cloned();
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            whole.extend(example_of(part, schemas)?.as_object().cloned()?);
        }
        return Some(whole.into());
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().find_map(|choice| example_of(choice, schemas));
    }
    if let Some(properties) = schema["properties"].as_object() {
        let required = required(schema, schemas);
        let mut object = Map::new();
        for (name, property) in properties {
            match example_of(property, schemas) {
                Some(example) => drop(object.insert(name.clone(), example)),
                None if given.is_some_and(|given| given.get(name).is_some()) => {}
                None if required.contains(&name.as_str()) => return None,
                None => {}
            }
        }
        return Some(object.into());
    }
    if let Some(items) = schema.get("items") {
        return Some(json!([example_of(items, schemas)?]));
    }
    match schema["format"].as_str() {
        _ if schema["type"] == "null"
            || schema["type"].as_array().is_some_and(|types| types.contains(&json!("null"))) =>
        {
            Some(Value::Null)
        }
        Some("uuid") => Some(UUID.into()),
        Some("date-time") => Some(TIME.into()),
        _ => None,
    }
}

fn named<'a>(schema: &Value, schemas: &'a Map<String, Value>) -> Option<&'a Value> {
    schemas.get(schema["$ref"].as_str()?.strip_prefix(SCHEMAS)?)
}

/// Names of the members that an object must have.
fn required<'a>(schema: &'a Value, schemas: &'a Map<String, Value>) -> Vec<&'a str> {
    let own = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let parts = schema["allOf"].as_array().into_iter().flatten().chain(named(schema, schemas));
    own.chain(parts.flat_map(|part| required(part, schemas))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(schema: &Value) -> Option<Value> {
        let schemas = json!({
            "Sku": {"type": "string", "example": "CP-502101"},
            "Line": {"type": "object", "required": ["sku"], "properties": {
                "sku": {"$ref": "#/components/schemas/Sku"}, "note": {"type": ["string", "null"]},
            }},
        });
        example_of(schema, schemas.as_object().expect("an object"))
    }

    #[test]
    fn a_whole_is_put_together_from_its_parts() {
        let page = json!({"type": "object", "required": ["items", "id"], "properties": {
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
            "id": {"type": "string", "format": "uuid"},
            "policy": {"oneOf": [{"type": "string", "enum": ["auto", "off"]}, {"type": "null"}]},
            "unknown": {},
        }});
        let expected = json!({"items": [{"sku": "CP-502101", "note": null}], "id": UUID, "policy": "auto"});
        assert_eq!(example(&page), Some(expected));
        let flattened =
            json!({"allOf": [{"$ref": "#/components/schemas/Line"}, {"properties": {"n": {"example": 1}}}]});
        assert_eq!(example(&flattened), Some(json!({"sku": "CP-502101", "note": null, "n": 1})));
    }

    #[test]
    fn a_part_that_must_be_there_and_has_no_example_leaves_none() {
        assert_eq!(example(&json!({"required": ["n"], "properties": {"n": {"type": "integer"}}})), None);
        assert_eq!(example(&json!({"type": "array", "items": {"type": "string"}})), None);
    }

    #[test]
    fn given_examples_are_completed() {
        let mut document = json!({
            "components": {"schemas": {"Order": {
                "required": ["status", "sku", "detail"], "example": {"detail": {}},
                "properties": {"status": {"enum": ["open", "closed"]}, "sku": {"example": "A"}, "n": {"example": 1}, "detail": {}},
            }}},
            "paths": {"/": {"post": {"responses": {"200": {"content": {"application/json": {
                "schema": {"$ref": "#/components/schemas/Order"}, "example": {"status": "closed"},
            }}}}}}},
        });
        add(&mut document);
        let answer = &document["paths"]["/"]["post"]["responses"]["200"]["content"]["application/json"]["example"];
        assert_eq!(*answer, json!({"status": "closed", "sku": "A", "detail": {}}));
        let named = &document["components"]["schemas"]["Order"]["example"];
        assert_eq!(*named, json!({"status": "open", "sku": "A", "detail": {}}));
    }
}
