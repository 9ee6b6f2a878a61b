//! The OpenAPI document.

use crate::harness::Service;

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_complete_and_true() {
    let service = Service::start(&[]).await;
    let document = service.get("/openapi.json").await.body;
    assert_eq!(document["info"]["title"], "Jaego access-service");
    let paths: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert!(paths.iter().all(|path| path.starts_with("/api/v1/")), "{paths:?}");
    assert_eq!(testkit::openapi::complaints(&service.api, &service.public).await, Vec::<String>::new());
    service.stop().await;
}
