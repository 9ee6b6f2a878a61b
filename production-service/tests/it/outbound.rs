//! Permitted destinations of calls, and the headers sent with them.

use serde_json::json;

use crate::harness::{FACTORY, World};

#[tokio::test(flavor = "multi_thread")]
async fn inner_addresses_are_not_called_unless_allowed() {
    let mut world = World::new("0.05").await;
    world.set("DELIVERY__ALLOWED_NETWORKS", "");
    let service = world.start().await;
    service.put_factory(FACTORY, json!({"base_url": "https://factory.example"})).await;
    // An address, and a name that resolves to it, set when they were still allowed.
    for url in [world.factory.url().to_owned(), world.factory.url().replace("127.0.0.1", "localhost")] {
        world.as_admin().await.execute("UPDATE factories SET base_url = $1", &[&url]).await.unwrap();
        let id = world.request(FACTORY, 10).await;
        let shown = service.until(id, "dead_lettered").await;
        let error = shown["attempts"][0]["error"].as_str().unwrap();
        assert!(error.contains("delivery.allowed_networks"), "{error}");
        assert_eq!(shown["attempts"][0]["outcome"], "retry");
    }
    assert!(world.factory.requests().is_empty());
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inner_address_is_no_factorys_unless_allowed() {
    const PATH: &str = "/api/v1/factories/FF-500293";
    let mut world = World::new("0.05").await;
    world.set("DELIVERY__ALLOWED_NETWORKS", "10.1.0.0/16");
    let service = world.start().await;
    for url in [
        "http://127.0.0.1:8480",
        "http://localhost:8480",
        "http://10.0.0.7",
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://[64:ff9b::10.0.0.7]",
    ] {
        let answer = service.put(PATH, json!({"name": "x", "base_url": url})).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["field"]),
            (422, &json!("base_url")),
            "{url}: {}",
            answer.body
        );
        assert!(answer.body["detail"].as_str().unwrap().contains("delivery.allowed_networks"), "{}", answer.body);
    }
    for url in ["http://10.1.0.7", "http://[64:ff9b::10.1.0.7]", "http://203.0.113.7", "https://factory.example"] {
        service.put_factory(FACTORY, json!({"base_url": url})).await;
    }
    world.finish(service).await;
}

// Control: own-header-only.
#[tokio::test(flavor = "multi_thread")]
async fn a_factorys_header_comes_from_a_file_and_goes_to_that_factory_alone() {
    let mut world = World::new("0.05").await;
    let path = std::env::temp_dir().join(format!("jaego-header-{}", world.own.database.name));
    std::fs::write(&path, "Authorization: Bearer 8c1f-very-secret\n").unwrap();
    world.set("DELIVERY__FACTORY_HEADERS", &format!("{FACTORY}=file:{}", path.display()));
    let service = world.start_with_factory().await;
    service.put_factory("FF-2", json!({"base_url": world.factory.url()})).await;
    for factory in [FACTORY, "FF-2"] {
        let id = world.request(factory, 10).await;
        service.until(id, "accepted").await;
    }
    let sent: Vec<Option<String>> = world.factory.requests().into_iter().map(|one| one.authorization).collect();
    assert_eq!(sent, [Some("Bearer 8c1f-very-secret".to_owned()), None]);
    for table in ["production_attempts", "production_requests", "factories", "outbox", "audit_log"] {
        let query = format!("SELECT count(*) FROM {table} AS kept WHERE kept::text LIKE '%very-secret%'");
        assert_eq!(world.count(&query).await, 0, "{table}");
    }
    std::fs::remove_file(path).unwrap();
    world.finish(service).await;
}
