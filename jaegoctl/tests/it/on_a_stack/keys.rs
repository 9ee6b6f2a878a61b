//! Keys are rotated under running services without losing a delivery.

use localstack::api::Api;
use localstack::demo::FIRST_SKU;
use localstack::stack::{Service, Want};
use serde_json::{Value, json};

use e2e::World;

use crate::program::run;

/// URL of a callback, and the body that the factory sent.
async fn callback(world: &World, index: usize) -> (String, Value) {
    let callback = world.wait_callback(index).await;
    let url = callback["url"].as_str().unwrap().to_owned();
    (url, serde_json::from_str(callback["body"].as_str().unwrap()).unwrap())
}

fn header_of(url: &str) -> &str {
    url.rsplit('/').next().and_then(|token| token.split('.').next()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_with_an_old_token_are_accepted_after_a_rotation() {
    let mut world = World::shared(Vec::new()).await;
    world.sell_out().await;
    world.wait_on_hand(10).await;
    let (old_url, old_body) = callback(&world, 0).await;

    let public = world.stack.dir().join("keys/callback-public.pem");
    let dir = world.stack.dir().join("rotated");
    let args = ["--json", "keys", "rotate", "--dir", dir.to_str().unwrap(), "--keep", public.to_str().unwrap()];
    let document = run(&args, &[]).await.ends_with(0).json();
    let read = |name: &str| std::fs::read_to_string(document[name].as_str().unwrap()).unwrap();

    // In the order that the command prints: first the service that verifies, then the one that signs.
    world.stack.stop_service(Service::Restock).await.unwrap();
    let settings = [("CALLBACK__PUBLIC_KEYS", read("set"))];
    world.stack.start_service(Service::Restock, &settings, Want::Ready).await.unwrap();
    world.stack.stop_service(Service::Production).await.unwrap();
    let settings = [("CALLBACK__SIGNING_KEY", read("private_key_file"))];
    world.stack.start_service(Service::Production, &settings, Want::Ready).await.unwrap();

    let again = Api::new(&old_url).post("", &[], &old_body).await.unwrap();
    assert_eq!((again.status.as_u16(), &again.body["status"]), (200, &json!("duplicate")), "{}", again.body);
    let order = json!({"lines": [{"sku": FIRST_SKU, "quantity": 10}]});
    let shopper = Api::new(&world.stack.urls(Service::Sales).public);
    let answer = shopper.post("/api/v1/orders", &[], &order).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.body);
    world.wait_on_hand(10).await;
    let (new_url, _) = callback(&world, 1).await;
    assert_ne!(header_of(&new_url), header_of(&old_url), "signed with the new key");
    world.stop().await;
}
