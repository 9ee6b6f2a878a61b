//! Checks that a service's OpenAPI document is complete, and that it matches the service's real responses.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Client, Method, header::CONTENT_TYPE};
use serde_json::Value;

use crate::service::{OPERATOR_TOKEN, VIEWER_TOKEN};

const TIMEOUT: Duration = Duration::from_secs(30);
/// One byte more than the largest body that is accepted.
const TOO_LARGE_BYTES: usize = 64 * 1024 + 1;
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Fetches `/openapi.json` from the listener `api`, sends each operation a few requests, and returns a
/// sentence for each violation. The tests of the generated clients check that examples fit their schemas.
///
/// # Panics
/// When the service does not answer.
pub async fn complaints(api: &str, public: &str) -> Vec<String> {
    let client = crate::http::client(TIMEOUT);
    let document = fetch(&client, &format!("{api}/openapi.json")).await;
    let operations = Operation::all(&document);
    let mut complaints = Vec::new();
    if operations.is_empty() {
        complaints.push("it describes no operation".to_owned());
    }
    let mut names = BTreeSet::new();
    for operation in &operations {
        let name = operation.described["operationId"].as_str().unwrap_or_default();
        if !names.insert(name) {
            complaints.push(format!("{operation}: its operationId {name:?} is another operation's, too"));
        }
        complaints.extend(operation.gaps().into_iter().map(|gap| format!("{operation}: {gap}")));
    }
    complaints.extend(dead_references(&document));
    for operation in &operations {
        let asked = Asked { client: &client, api, public, operation };
        complaints.extend(asked.lies().await.into_iter().map(|lie| format!("{operation}: {lie}")));
    }
    complaints
}

#[expect(clippy::expect_used, reason = "test support: without a document nothing can be said")]
async fn fetch(client: &Client, url: &str) -> Value {
    client.get(url).send().await.expect("an answer").json().await.expect("a document")
}

/// Dangling references.
fn dead_references(document: &Value) -> Vec<String> {
    let text = document.to_string();
    let targets: BTreeSet<&str> =
        text.split(r##""$ref":"#"##).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let dead = targets.into_iter().filter(|target| document.pointer(target).is_none());
    dead.map(|target| format!("nothing is at {target}")).collect()
}

struct Operation<'a> {
    document: &'a Value,
    path: &'a str,
    method: &'a str,
    described: &'a Value,
}

impl std::fmt::Display for Operation<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method.to_uppercase(), self.path)
    }
}

impl<'a> Operation<'a> {
    fn all(document: &'a Value) -> Vec<Self> {
        let items = members(&document["paths"]);
        items
            .flat_map(|(path, item)| {
                members(item).map(move |(method, described)| Self { document, path, method, described })
            })
            .collect()
    }

    /// The missing parts of the operation's description.
    fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        let mut want = |is_met: bool, what: String| {
            if !is_met {
                gaps.push(what);
            }
        };
        let name = self.described["operationId"].as_str().unwrap_or_default();
        want(is_verb_and_noun(name), format!("its operationId {name:?} is not like cancelOrder"));
        want(is_present(&self.described["summary"]), "no summary".to_owned());
        want(self.described["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "no tag".to_owned());
        for parameter in self.parameters() {
            let name = &parameter["name"];
            want(is_present(&parameter["description"]), format!("no description of parameter {name}"));
            want(!parameter["example"].is_null(), format!("no example of parameter {name}"));
        }
        for (media_type, content) in members(&self.described["requestBody"]["content"]) {
            want(has_example(content), format!("no example of a whole body of {media_type}"));
        }
        for (status, answer) in self.answers() {
            want(is_present(&answer["description"]), format!("no description of answer {status}"));
            for (media_type, content) in members(&answer["content"]) {
                want(has_example(content), format!("no example of a whole answer {status} of {media_type}"));
            }
            let is_problem = answer["content"][PROBLEM].is_object();
            want(is_problem == (status >= 400), format!("answer {status}: problems, and only they, are {PROBLEM}"));
        }
        want(self.answers().any(|(status, _)| status < 300), "no success".to_owned());
        gaps
    }

    fn parameters(&self) -> impl Iterator<Item = &Value> {
        self.described["parameters"].as_array().into_iter().flatten()
    }

    fn answers(&self) -> impl Iterator<Item = (u16, &Value)> {
        members(&self.described["responses"]).filter_map(|(status, answer)| {
            let target = answer["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
            Some((status.parse().ok()?, target.map_or(Some(answer), |target| self.document.pointer(target))?))
        })
    }

    fn is_secured(&self) -> bool {
        self.described["security"].is_array()
    }

    /// The path, with each parameter replaced by `given` or its example.
    fn filled(&self, given: Option<&str>) -> String {
        let of_path = self.parameters().filter(|parameter| parameter["in"] == "path");
        of_path.fold(self.path.to_owned(), |path, parameter| {
            let example = parameter["example"].as_str().unwrap_or_default();
            path.replace(&format!("{{{}}}", parameter["name"].as_str().unwrap_or_default()), given.unwrap_or(example))
        })
    }

    fn has_body(&self) -> bool {
        self.described["requestBody"].is_object()
    }

    /// The body of the example.
    fn body(&self) -> String {
        let content = &self.described["requestBody"]["content"][JSON];
        let first = members(&content["examples"]).next().map(|(_, example)| &example["value"]);
        first.unwrap_or(&content["example"]).to_string()
    }
}

/// One operation, and the listeners to call it on.
struct Asked<'a> {
    client: &'a Client,
    api: &'a str,
    public: &'a str,
    operation: &'a Operation<'a>,
}

struct Answer {
    status: u16,
    media_type: String,
    kind: String,
}

impl Asked<'_> {
    /// The responses that contradict the document.
    async fn lies(&self) -> Vec<String> {
        let operation = self.operation;
        let (path, body) = (operation.filled(None), operation.body());
        let mut lies = Vec::new();

        let stranger = self.ask(self.api, &path, None, JSON, &body).await;
        if (stranger.kind == "/problems/unauthorized") != operation.is_secured() {
            lies.push(format!("its security does not fit: without a token it answers {}", stranger.status));
        }
        let mut heard = vec![("without a token", stranger)];
        if operation.is_secured() {
            let outside = self.ask(self.public, &path, Some(OPERATOR_TOKEN), JSON, &body).await;
            if !matches!(outside.status, 404 | 405) {
                lies.push(format!("it is for operators, but the public listener answers {}", outside.status));
            }
            let viewer = self.ask(self.api, &path, Some(VIEWER_TOKEN), JSON, &body).await;
            if (viewer.status == 403) == (operation.method == "get") {
                lies.push(format!("a viewer gets {}", viewer.status));
            }
            heard.push(("as a viewer", viewer));
        }
        let token = Some(OPERATOR_TOKEN);
        if operation.has_body() {
            let large = "x".repeat(TOO_LARGE_BYTES);
            for (how, media_type, body) in [
                ("with an empty object", JSON, "{}"),
                ("with an unknown field", JSON, r#"{"colour_of_the_box":1}"#),
                ("with a body that is not JSON", JSON, "{"),
                ("with a text", "text/plain", body.as_str()),
                ("with a body that is too large", JSON, large.as_str()),
            ] {
                heard.push((how, self.ask(self.api, &path, token, media_type, body).await));
            }
        }
        let odd = operation.filled(Some("-%20-"));
        heard.push(("with an odd path", self.ask(self.api, &odd, token, JSON, &body).await));
        if operation.parameters().any(|parameter| parameter["name"] == "limit") {
            for (how, query) in [("with a limit of 0", "limit=0"), ("with a limit that is not a number", "limit=x")] {
                heard.push((how, self.ask(self.api, &format!("{path}?{query}"), token, JSON, &body).await));
            }
        }
        // Last, because it may change what the other requests find.
        heard.push(("as in its example", self.ask(self.api, &path, token, JSON, &body).await));

        for (how, answer) in heard {
            let Answer { status, media_type, .. } = &answer;
            match operation.answers().find(|(described, _)| described == status) {
                None => lies.push(format!("{how} it answers {status}, which is not documented")),
                Some((_, described)) if *status != 204 && described["content"][media_type].is_null() => {
                    lies.push(format!("{how} it answers {status} as {media_type}, which is not documented"));
                }
                Some(_) => {}
            }
        }
        lies
    }

    #[expect(clippy::expect_used, reason = "test support: a service that does not answer must stop the test")]
    async fn ask(&self, door: &str, path: &str, token: Option<&str>, media_type: &str, body: &str) -> Answer {
        let method: Method = self.operation.method.to_uppercase().parse().expect("a method");
        let mut request = self.client.request(method, format!("{door}{path}"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if self.operation.has_body() {
            request = request.header(CONTENT_TYPE, media_type).body(body.to_owned());
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().to_owned();
        let body: Value = serde_json::from_str(&answer.text().await.expect("a body")).unwrap_or_default();
        Answer { status, media_type, kind: body["type"].as_str().unwrap_or_default().to_owned() }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, member)| (name.as_str(), member))
}

fn is_present(text: &Value) -> bool {
    text.as_str().is_some_and(|text| !text.trim().is_empty())
}

fn has_example(content: &Value) -> bool {
    !content["example"].is_null() || members(&content["examples"]).any(|(_, example)| !example["value"].is_null())
}

/// True for a name such as `cancelOrder`, which suits a function of a generated client.
fn is_verb_and_noun(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().any(|letter| letter.is_ascii_uppercase())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric())
}
