//! An operator's day: inspects everything, and changes it by explicit verbs only.

use localstack::api::Api;
use localstack::demo::{FACTORY, FIRST_SKU};
use serde_json::{Value, json};

use crate::program::{Ran, environment, run};
use e2e::World;

struct Operator {
    env: Vec<(&'static str, String)>,
}

impl Operator {
    async fn does(&self, args: &[&str], code: i32) -> Ran {
        run(args, &self.env).await.ends_with(code)
    }

    /// The JSON document of a command.
    async fn asks(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        self.does(&args, 0).await.json()
    }

    async fn list(&self, args: &[&str]) -> Vec<Value> {
        let document = self.asks(args).await;
        assert!(document["source"]["url"].as_str().is_some_and(|url| url.starts_with("http://")), "{document}");
        document["items"].as_array().expect("items").clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_everything_and_changes_it_by_verbs() {
    let world = World::shared(Vec::new()).await;
    let operator = Operator { env: environment(&world) };
    world.sell_out().await;
    world.wait_on_hand(10).await;
    let request = world.wait_production_request("received").await;
    let id = request["id"].as_str().unwrap();

    // Commands that only read.
    let ran = operator.does(&["requests", "ls", "--sku", FIRST_SKU, "--status", "received"], 0).await;
    for expected in [id, FACTORY, "10 of 10", "received", "1 production request, from production-service at http://"] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let ran = operator.does(&["requests", "show", id], 0).await;
    assert!(ran.stdout.contains("OUTCOME") && ran.stdout.contains("accepted"), "{}", ran.stdout);
    let shown = operator.asks(&["requests", "show", id]).await;
    assert_eq!(shown["item"]["attempts"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(operator.list(&["orders", "ls", "--status", "confirmed"]).await.len(), 3);
    assert_eq!(operator.list(&["receipts", "ls"]).await.len(), 1);
    assert_eq!(operator.list(&["replenishments", "ls", "--status", "complete"]).await.len(), 1);
    assert!(operator.list(&["stock", "movements", FIRST_SKU]).await.len() >= 5);
    let ran = operator.does(&["stock", "show", FIRST_SKU], 0).await;
    assert!(ran.stdout.starts_with("sku:") && ran.stdout.contains("policy.reorder_point:"), "{}", ran.stdout);
    operator.does(&["stock", "decision", FIRST_SKU], 0).await;

    // Lists stop at the limit and span pages.
    let nine = operator.list(&["stock", "ls", "--limit", "1000"]).await;
    assert_eq!(nine.len(), 9);
    assert_eq!(operator.list(&["stock", "ls", "--limit", "2"]).await, nine[..2]);
    assert_eq!(operator.asks(&["stock", "ls", "--limit", "2"]).await["more"], true);
    let ran = operator.does(&["stock", "ls", "--limit", "2"], 0).await;
    assert!(ran.stdout.contains("2 products, from sales-service") && ran.stdout.contains("there are more"), "{ran:?}");

    refusals(&operator, world.stack.viewer_token(), id).await;
    cancelling(&operator, &world).await;
    goods(&operator, &world, id).await;
    factories(&operator).await;
    access(&operator).await;
    let ran = operator.does(&["audit"], 0).await;
    assert!(ran.stdout.contains("agree"), "{}", ran.stdout);
    world.stop().await;
}

async fn refusals(operator: &Operator, viewer_token: &str, id: &str) {
    // A state that does not allow it, an unknown id, an unknown status.
    let ran = operator.does(&["requests", "retry", id], 4).await;
    assert!(ran.stderr.contains("(409)") && ran.stderr.contains("trace id: "), "{}", ran.stderr);
    let ran = operator.does(&["requests", "retry", "--fallback", id], 4).await;
    assert!(ran.stderr.contains("(409)") && ran.stderr.contains("fallback factory"), "{}", ran.stderr);
    assert!(operator.list(&["requests", "ls", "--overdue"]).await.is_empty());
    let nobody = "00000000-0000-7000-8000-000000000000";
    operator.does(&["requests", "show", nobody], 4).await;
    operator.does(&["quarantine", "show", nobody], 4).await;
    operator.does(&["requests", "ls", "--status", "lost"], 4).await;
    // Malformed ids and numbers are rejected before a request is sent.
    for args in [
        &["requests", "show", "../audit"][..],
        &["stock", "show", "a/b"],
        &["requests", "cancel"],
        &["receipts", "book", "--request", id, "--quantity", "0", "--reason", "x"],
        &["stock", "ls", "--limit", "0"],
        &["factories", "set", FACTORY],
    ] {
        operator.does(args, 2).await;
    }
    // A viewer can only read.
    let mut viewer = Operator { env: operator.env.clone() };
    viewer.env.retain(|(name, _)| *name != "OPERATOR_TOKEN");
    viewer.env.push(("OPERATOR_TOKEN", viewer_token.to_owned()));
    viewer.does(&["stock", "ls"], 0).await;
    let ran = viewer.does(&["stock", "adjust", FIRST_SKU, "--delta", "1", "--reason", "correction"], 4).await;
    assert!(ran.stderr.contains("role operator"), "{}", ran.stderr);
}

async fn cancelling(operator: &Operator, world: &World) {
    let orders = operator.list(&["orders", "ls", "--limit", "2"]).await;
    let ids: Vec<&str> = orders.iter().map(|order| order["id"].as_str().unwrap()).collect();
    let ran = operator.does(&["orders", "cancel", ids[0], ids[1]], 6).await;
    assert!(ran.stderr.contains("Cancel 2 orders?") && ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert_eq!(world.on_hand().await, 10);
    let ran = operator.does(&["orders", "cancel", ids[0], ids[1], "--yes"], 0).await;
    assert_eq!(ran.stdout.matches(": cancelled").count(), 2, "{}", ran.stdout);
    assert_eq!(world.on_hand().await, 12);
    // It continues after a refusal, and its exit code reports that.
    let ran = operator
        .does(&["--json", "orders", "cancel", "--yes", ids[0], "00000000-0000-7000-8000-000000000000"], 4)
        .await;
    let items = ran.json()["items"].clone();
    assert_eq!((&items[0]["ok"], &items[1]["ok"]), (&json!(true), &json!(false)), "{items}");
}

async fn goods(operator: &Operator, world: &World, id: &str) {
    // The same key books nothing twice.
    let adjust = [
        "stock",
        "adjust",
        FIRST_SKU,
        "--delta",
        "-2",
        "--reason",
        "cycle_count",
        "--note",
        "a\u{1b}[2Jb",
        "--key",
        "once",
    ];
    operator.does(&adjust, 0).await;
    assert_eq!(world.on_hand().await, 10);
    let ran = operator.does(&adjust, 0).await;
    assert!(ran.stderr.contains("already made with the same key"), "{}", ran.stderr);
    assert!(ran.stdout.contains("a\\u{1b}[2Jb") && !ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
    assert_eq!(world.on_hand().await, 10);
    let book = ["receipts", "book", "--request", id, "--quantity", "1", "--reason", "one more in the truck"];
    let ran = operator.does(&book, 4).await;
    assert!(ran.stderr.contains("(409)"), "{}", ran.stderr);

    // A delivery with an unusable count waits for an operator.
    let callback = world.wait_callback(0).await;
    let mut body: Value = serde_json::from_str(callback["body"].as_str().unwrap()).unwrap();
    body["MessageAttributeProductCnt"] = json!("0");
    let answer =
        Api::new(callback["url"].as_str().unwrap()).post("", &[("Idempotency-Key", "x")], &body).await.unwrap();
    assert_eq!(answer.status, 400, "{}", answer.body);
    let waiting = operator.list(&["quarantine", "ls"]).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    let entry = waiting[0]["id"].as_str().unwrap();
    let ran = operator.does(&["quarantine", "show", entry], 0).await;
    assert!(ran.stdout.contains("invalid-count") && ran.stdout.contains("<callback:"), "{}", ran.stdout);
    operator.does(&["quarantine", "discard", entry, "--reason", "nothing came"], 0).await;
    assert!(operator.list(&["quarantine", "ls"]).await.is_empty());
    assert_eq!(operator.list(&["quarantine", "ls", "--status", "discarded"]).await.len(), 1);
}

async fn factories(operator: &Operator) {
    operator.does(&["factories", "set", "FF-2", "--enabled", "false"], 2).await;
    let base_url = "https://second.factory.example";
    operator
        .does(&["factories", "set", "FF-2", "--name", "second", "--base-url", base_url, "--lead-time-s", "90"], 0)
        .await;
    let args = [
        "factories",
        "set",
        "FF-2",
        "--enabled",
        "false",
        "--callback-sources",
        "203.0.113.7/24",
        "--fallback",
        FACTORY,
    ];
    operator.does(&args, 0).await;
    let shown = operator.asks(&["factories", "show", "FF-2"]).await["item"].clone();
    assert_eq!(shown["name"], "second", "what is not named stays: {shown}");
    assert_eq!((&shown["lead_time_s"], &shown["enabled"]), (&json!(90), &json!(false)), "{shown}");
    assert_eq!(shown["callback_sources"], json!(["203.0.113.0/24"]), "{shown}");
    assert_eq!(shown["fallback_factory_id"], FACTORY, "{shown}");
    operator.does(&["factories", "set", "FF-2", "--fallback", "none", "--callback-sources", "any"], 0).await;
    let shown = operator.asks(&["factories", "show", "FF-2"]).await["item"].clone();
    assert_eq!((&shown["fallback_factory_id"], &shown["callback_sources"]), (&Value::Null, &json!([])), "{shown}");
    operator.does(&["factories", "set", "FF-2", "--timeout-ms", "1"], 4).await;
    assert_eq!(operator.list(&["factories", "ls"]).await.len(), 2);
}

async fn access(operator: &Operator) {
    let made = operator.asks(&["tokens", "create", "--name", "script", "--role", "operator", "--days", "1"]).await;
    let (token, id) = (made["item"]["token"].as_str().unwrap(), made["item"]["id"].as_str().unwrap());
    let mut script = Operator { env: operator.env.clone() };
    script.env.retain(|(name, _)| *name != "OPERATOR_TOKEN");
    script.env.push(("OPERATOR_TOKEN", token.to_owned()));
    script.does(&["stock", "ls"], 0).await;
    let ran = script.does(&["tokens", "create", "--name", "another"], 4).await;
    assert!(ran.stderr.contains("cannot make another one"), "{}", ran.stderr);
    assert_eq!(operator.list(&["tokens", "ls"]).await.len(), 1);
    operator.does(&["tokens", "revoke", id, "--reason", "done"], 0).await;
    assert!(operator.list(&["tokens", "ls"]).await.is_empty());
    assert_eq!(operator.list(&["tokens", "ls", "--all"]).await.len(), 1);
    // Asked without a pause, access-service itself refuses it at once.
    let ran = script.does(&["sessions", "ls"], 4).await;
    assert!(ran.stderr.contains("revoked or expired"), "{}", ran.stderr);
    let ran = operator.does(&["sessions", "end", "--person", "local-operator", "--reason", "none"], 0).await;
    assert!(ran.stdout.contains("0 sessions of local-operator ended"), "{}", ran.stdout);
    operator.does(&["sessions", "end", "--reason", "whose?"], 2).await;
}
