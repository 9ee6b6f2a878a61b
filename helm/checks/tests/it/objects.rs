//! The objects that the chart renders, and how to find something in them.

use std::collections::BTreeMap;

use serde_json::Value;

#[derive(Clone)]
pub(super) struct Rendered {
    objects: Vec<Value>,
    pub(super) notes: String,
}

/// A pod that is created by an object of the release.
pub(super) struct Pod<'a> {
    /// Such as `Deployment jaego-sales`.
    pub(super) owner: String,
    pub(super) component: String,
    pub(super) metadata: &'a Value,
    pub(super) spec: &'a Value,
}

impl Rendered {
    pub(super) fn new(answer: &Value) -> Self {
        let objects = list(&answer["objects"]).iter().map(|one| one["object"].clone()).collect();
        Self { objects, notes: answer["notes"].as_str().unwrap().to_owned() }
    }

    pub(super) fn all(&self) -> &[Value] {
        &self.objects
    }

    pub(super) fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|one| one["kind"] == kind).collect()
    }

    /// One object, by kind and by its name without the release's.
    pub(super) fn get(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name).unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    pub(super) fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        let full = format!("{}-{name}", super::engine::RELEASE);
        self.objects.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == full)
    }

    /// `Kind name` of all objects, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.objects.iter().map(name).collect();
        names.sort();
        names
    }

    pub(super) fn pods(&self) -> Vec<Pod<'_>> {
        let pods = self.objects.iter().filter_map(|owner| {
            let pod = match owner["kind"].as_str().unwrap() {
                "Pod" => owner,
                "Deployment" | "StatefulSet" | "Job" => &owner["spec"]["template"],
                _ => return None,
            };
            let component = pod["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap().to_owned();
            Some(Pod { owner: name(owner), component, metadata: &pod["metadata"], spec: &pod["spec"] })
        });
        pods.collect()
    }
}

impl Pod<'_> {
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        labels(&self.metadata["labels"])
    }

    pub(super) fn containers(&self) -> Vec<&Value> {
        list(&self.spec["initContainers"]).iter().chain(list(&self.spec["containers"])).collect()
    }
}

/// Returns `Kind name`.
pub(super) fn name(object: &Value) -> String {
    format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

/// Elements of a list; none if it is absent.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Strings in a list.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(|one| one.as_str().unwrap()).collect()
}

/// A map of strings; empty if it is absent.
pub(super) fn labels(value: &Value) -> BTreeMap<String, String> {
    if value.is_null() { BTreeMap::new() } else { serde_json::from_value(value.clone()).unwrap() }
}

/// Returns whether a label selector matches these labels. Only `matchLabels` is supported.
pub(super) fn selects(selector: &Value, of: &BTreeMap<String, String>) -> bool {
    assert!(selector.as_object().unwrap().keys().all(|key| key == "matchLabels"), "{selector}");
    labels(&selector["matchLabels"]).iter().all(|(key, value)| of.get(key) == Some(value))
}

/// All strings in a document.
pub(super) fn all_texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(elements) => elements.iter().flat_map(all_texts).collect(),
        Value::Object(fields) => fields.values().flat_map(all_texts).collect(),
        _ => Vec::new(),
    }
}

/// Decoded values of a Secret that the chart creates, by key.
pub(super) fn decoded(secret: &Value) -> BTreeMap<String, String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let plain = |text: String| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
    labels(&secret["data"]).into_iter().map(|(key, value)| (key, plain(value))).collect()
}
