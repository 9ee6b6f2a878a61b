//! No table, log or metric holds a token, and the metric counts correctly.

use jaego_contracts::ids::RequestId;
use reqwest::Method;
use serde_json::json;

use crate::harness::{NO_BROKER, World, claims, echo, part};
use crate::ugly_urls;

// Control: no-token-kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_kept_nowhere() {
    let world = World::new().await;
    // Without a broker its events stay in the outbox, where they can be searched.
    let replica = world.replica(&[NO_BROKER, ("TELEMETRY__LOG", "debug")]).await;
    let own = claims(RequestId::generate(), 100);
    let token = world.sign(&own);
    let url = format!("https://restock.example/callbacks/v1/restocks/{token}");

    let mut other_product = echo("100", &token);
    other_product["MessageAttributeProductId"] = json!(url);
    other_product["MessageAttributeRequester"] = json!(format!("call {url} or {token}"));
    assert_eq!(world.call(&replica, &token, &other_product).await.status, 409);
    let mut unusable = echo(&url, &token);
    unusable["DeliveryId"] = json!(token);
    unusable[&token] = json!([{"x": token}]);
    assert_eq!(world.call(&replica, &token, &unusable).await.problem(), "invalid-count");
    let escaped = echo("30", &token).to_string().replace('/', "\\/").replace("eyJ", "\\u0065yJ");
    let named = [("idempotency-key", token.as_str())];
    assert_eq!(world.call_with(&replica, &token, &named, escaped).await.received(), ("received", 30));
    assert_eq!(world.call(&replica, &token, &part("over", 80)).await.received(), ("received", 70));
    assert_eq!(world.call(&replica, &token, &part("again", 1)).await.quarantined(), "nothing-open");
    assert_eq!(world.call(&replica, &token, &part("again", 1)).await.quarantined(), "nothing-open");
    assert_eq!(world.call(&replica, &token, &part("over", 80)).await.received(), ("duplicate", 70));
    for form in ugly_urls::FORMS {
        let ugly = format!("{}{}", replica.public, ugly_urls::write(form, &token));
        assert_eq!(world.send(&replica, Method::POST, &ugly, &part("over", 80)).await.received(), ("duplicate", 70));
        let answer = world.send(&replica, Method::PUT, &ugly, &part("over", 80)).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["instance"]),
            (405, &json!("/callbacks/v1/restocks")),
            "{form}"
        );
    }
    for (path, status) in [("", 404), ("/callbacks/v1/restocks", 400)] {
        let ugly = format!("{}{path}/{}", replica.public, "x".repeat(5_000));
        let answer =
            world.send(&replica, Method::POST, &format!("{ugly}//callbacks/v1/restocks/{token}"), &json!({})).await;
        assert_eq!(answer.status, 404, "too long to be searched");
        assert!(!answer.body.to_string().contains(&token), "{answer:?}");
        assert_eq!(world.send(&replica, Method::POST, &format!("{ugly}{token}"), &json!({})).await.status, status);
    }
    let unreadable = format!("url={url}&again={token}");
    assert_eq!(world.call_with(&replica, &token, &[], unreadable).await.quarantined(), "unreadable-body");
    let answer = world.call(&replica, &token, &json!({"OrderStockCnt": 0})).await;
    assert_eq!(answer.body["instance"], "/callbacks/v1/restocks");
    let middle = token.len() - 40;
    let other = if &token[middle..=middle] == "x" { "y" } else { "x" };
    let forged = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
    assert_eq!(world.call(&replica, &forged, &part("x", 1)).await.status, 401);

    // The signature is the secret part of the token; the other parts hold nothing that is not in the tables anyway.
    let signature = token.rsplit('.').next().unwrap();
    let texts = everything(&world).await;
    assert!(texts.contains("재고담당") && texts.contains(&format!("<callback:{}>", own.jti)));
    assert!(texts.contains("stock.received"), "the outbox is searched, too");
    let metrics = replica.metrics().await;
    let lines = std::fs::read_to_string(replica.process.log()).unwrap();
    assert!(lines.contains("goods received"));
    let start = &signature[..20];
    let encoded = ugly_urls::write("ENCODED", start);
    for (what, text) in [("a table", &texts), ("a metric", &metrics), ("the log", &lines)] {
        for start in [start, &encoded] {
            assert!(!text.contains(start), "the token is in {what}: {}", around(text, start));
        }
        assert!(!text.contains("restock.example"), "the URL is in {what}");
    }

    for (outcome, count) in [
        ("callback-mismatch", 1),
        ("invalid-count", 2),
        ("received", 1),
        ("received-in-part", 1),
        ("nothing-open", 1),
        ("quarantined-before", ugly_urls::FORMS.len()),
        ("duplicate", 1 + ugly_urls::FORMS.len()),
        ("unreadable-body", 2),
        ("token-forged", 1),
    ] {
        let counted = replica.metric("jaego_callbacks_total", &format!("outcome=\"{outcome}\"")).await;
        assert_eq!(counted, Some(count), "{outcome}");
    }
}

/// Every row of every table as text, bytes included.
async fn everything(world: &World) -> String {
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let mut all = String::new();
    for table in world.database.query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        for row in world.database.query(&format!("SELECT t::text FROM {table} t"), &[]).await.unwrap() {
            all += row.get(0);
        }
    }
    for column in ["outbox.body", "message_retries.body", "quarantine.body_bytes"] {
        let table = column.split('.').next().unwrap();
        for row in world
            .database
            .query(&format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL"), &[])
            .await
            .unwrap()
        {
            all += &String::from_utf8_lossy(row.get(0));
        }
    }
    all
}

fn around<'a>(text: &'a str, found: &str) -> &'a str {
    text.lines().find(|line| line.contains(found)).unwrap_or_default()
}
