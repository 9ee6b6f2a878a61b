//! In front of the real sales-service: an order as a page places it, and the events that the page then receives.

use jaego_contracts::topology::User;
use jaego_settings::{Sources, load};
use reqwest::Method;
use serde_json::json;
use testkit::service::Surroundings;
use testkit::wait_until;

use crate::harness::{Access, Answer, Front, SOON, Stream, site};

// Migrations block a thread.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_and_its_page_hears_of_it() {
    let surroundings = Surroundings::new().await;
    let own = surroundings.service(User::Sales).await;
    let identity = sales_service::app::IDENTITY;
    let access = Access::start(&surroundings).await;
    let env = own.with(&[("ACCESS__URL", &access.url)]);
    let sources = Sources { defaults: identity.defaults, file: None, env_prefix: identity.env_prefix, env };
    let settings: sales_service::settings::Settings = load(sources).expect("valid");
    jaego_pg::migrate(&own.database.migrator(), (identity.migrations)()).await.expect("migrated");
    let sales = sales_service::app::start(settings).await.expect("started");
    let (api, public) = (format!("http://{}", sales.listeners.api), format!("http://{}", sales.listeners.public));
    let changed = [("SERVICES__SALES_URL", api.as_str()), ("SERVICES__SALES_PUBLIC_URL", public.as_str())];
    let env = surroundings.frontend().await;
    let front = Front::open_knowing(surroundings, access, env, site(), &changed).await;
    front.is("ready").await;

    let operator = front.operator().await;
    let product = json!({
        "name": "부산도너츠", "price": { "amount": 19_900, "currency": "KRW" }, "factory_id": "FF-500293",
        "policy": { "reorder_point": 0, "order_up_to": 10, "lot_size": 10, "mode": "off", "shortage": "reject" },
    });
    let send = async |method: Method, path: &str, body: &serde_json::Value, as_operator: bool| {
        let request = front.request(method, path).json(body).header("idempotency-key", path.replace('/', "-"));
        let request = if as_operator { request.header("cookie", &operator) } else { request };
        Answer::of(request.send().await.expect("an answer")).await
    };
    wait_until("the product is there", SOON, async || {
        let answer = send(Method::PUT, "/sales/api/v1/products/CP-1", &product, true).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let adjustment = json!({ "delta": 3, "reason": "correction", "note": "opening stock" });
    assert_eq!(send(Method::POST, "/sales/api/v1/products/CP-1/adjustments", &adjustment, true).await.status, 201);

    let mut stream = Stream::open(front.client.get(format!("{}/live", front.public))).await;
    let order = json!({ "lines": [{ "sku": "CP-1", "quantity": 2 }] });
    let placed = send(Method::POST, "/sales/api/v1/orders", &order, false).await;
    assert_eq!(placed.status, 201, "{}", placed.text());
    let id = placed.json()["id"].as_str().expect("an id").to_owned();
    // Hints about earlier changes may still arrive first.
    loop {
        let (name, data) = stream.next().await.expect("an event");
        assert_eq!((name.as_str(), data), ("stock", json!({ "sku": "CP-1" })));
        if front.get_public("/sales/api/v1/products/CP-1").await.json()["available"] == 1 {
            break;
        }
    }

    let mut own_page = Stream::open(front.request(Method::GET, &format!("/live?orders={id}"))).await;
    let cancelled = send(Method::POST, &format!("/sales/api/v1/orders/{id}/cancel"), &json!({}), true).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    loop {
        let (name, data) = own_page.next().await.expect("an event");
        // The confirmation may arrive only now: events take a moment, and this stream is newer than the order.
        if name == "order" && data["type"] != "jaego.order.confirmed.v1" {
            assert_eq!(data, json!({ "id": id, "type": "jaego.order.cancelled.v1" }));
            break;
        }
    }
    assert_eq!(front.get_public(&format!("/sales/api/v1/orders/{id}")).await.json()["status"], "cancelled");
    front.stop().await;
    sales.stop().await;
}
