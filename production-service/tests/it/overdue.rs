//! Requests that were accepted, but not received in time.

use factory_simulator::Faults;
use serde_json::json;
use testkit::wait_until;

use crate::harness::{FACTORY, SOON, World};
use crate::messages::received;

const PATH: &str = "/api/v1/production-requests";

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_request_is_flagged_announced_listed_and_requested_again() {
    let mut world = World::new("0.05").await;
    world.set("OVERDUE__CHECK_EVERY_MS", "50");
    let service = world.start().await;
    let replica = world.start().await;
    let lead_time =
        |seconds: u32| json!({"base_url": world.factory.url(), "lead_time_s": seconds, "overdue_factor": 1.5});
    service.put_factory(FACTORY, lead_time(3600)).await;
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "accepted").await;
    assert_eq!(shown["overdue"], false);
    // A request cannot be sent again before it is overdue.
    assert_eq!(service.post(&format!("{PATH}/{id}/retry"), None).await.status, 409);
    service.put_factory(FACTORY, lead_time(1)).await;
    let flagged = async || {
        wait_until("an overdue request", SOON, || async {
            let shown = service.production_request(id).await.body;
            if shown["overdue"] == true { Ok(shown) } else { Err(shown) }
        })
        .await
    };
    let shown = flagged().await;
    assert_eq!(shown["status"], "accepted");
    let events = world.outcomes(2).await;
    assert_eq!((events[1].0.as_str(), &events[1].1["revision"]), ("jaego.production.overdue.v1", &json!(2)));
    assert_eq!(events[1].1["factory_id"], FACTORY);
    let listed = async |query: &str| {
        let page = service.get(&format!("{PATH}?{query}")).await.body;
        page["items"].as_array().unwrap().len()
    };
    assert_eq!((listed("overdue=true").await, listed("overdue=false").await), (1, 0));
    assert_eq!(service.get(&format!("{PATH}?overdue=perhaps")).await.status, 422);

    // Sent again, and refused: the request was accepted once, so it is not lost and stays overdue.
    world.factory.set_faults(Faults { refuse_status: Some(409), for_next: Some(1), ..Faults::default() }).unwrap();
    let answer = service.post(&format!("{PATH}/{id}/retry"), None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (200, &json!("requested")));
    let shown = flagged().await;
    assert_eq!((&shown["status"], &shown["attempt_count"]), (&json!("accepted"), &json!(2)));

    // Sent again, and accepted: the lead time starts again.
    assert_eq!(service.post(&format!("{PATH}/{id}/retry"), None).await.status, 200);
    wait_until("the third call", SOON, async || (world.factory.requests().len() == 3).then_some(())).await;
    let shown = service.until(id, "accepted").await;
    assert_eq!(shown["overdue"], false, "{shown}");
    flagged().await;
    let kinds: Vec<String> = world.outcomes(4).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds[2..], ["jaego.production.accepted.v1", "jaego.production.overdue.v1"]);
    replica.stop().await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partly_received_request_is_overdue_until_the_rest_arrives() {
    let mut world = World::new("0.05").await;
    world.set("OVERDUE__CHECK_EVERY_MS", "50");
    let service = world.start().await;
    let at_leisure = json!({"base_url": world.factory.url(), "lead_time_s": 3600});
    service.put_factory(FACTORY, at_leisure).await;
    let id = world.request(FACTORY, 10).await;
    service.until(id, "accepted").await;
    world.publish(received(id, 4)).await;
    let shown = service.until(id, "partly_received").await;
    assert_eq!(shown["overdue"], false);
    let ago = "UPDATE production_requests SET last_accepted_at = now() - interval '1 day'";
    world.as_admin().await.execute(ago, &[]).await.unwrap();
    let shown = wait_until("an overdue request", SOON, || async {
        let shown = service.production_request(id).await.body;
        if shown["overdue"] == true { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert_eq!((&shown["status"], &shown["received"]), (&json!("partly_received"), &json!(4)));
    let (kind, events) = world.outcomes(2).await.remove(1);
    assert_eq!((kind.as_str(), &events["revision"]), ("jaego.production.overdue.v1", &json!(2)));
    assert!(events["reason"].as_str().unwrap().starts_with("4 of 10 received within "), "{events}");
    let listed = service.get(&format!("{PATH}?overdue=true&status=partly_received")).await.body;
    assert_eq!(listed["items"][0]["id"], json!(id));

    // A retry would order the whole quantity again.
    let answer = service.post(&format!("{PATH}/{id}/retry"), None).await;
    assert_eq!((answer.status.as_u16(), &answer.body["status_now"]), (409, &json!("partly_received")));
    assert!(answer.body["detail"].as_str().unwrap().contains("close its replenishment"), "{}", answer.body);
    world.publish(received(id, 1)).await;
    let shown = wait_until("more goods", SOON, || async {
        let shown = service.production_request(id).await.body;
        if shown["received"] == 5 { Ok(shown) } else { Err(shown) }
    })
    .await;
    assert_eq!((&shown["status"], &shown["overdue"]), (&json!("partly_received"), &json!(true)));
    world.publish(received(id, 5)).await;
    let shown = service.until(id, "received").await;
    assert_eq!(shown["overdue"], false);
    assert_eq!(world.factory.requests().len(), 1);
    world.outcomes(2).await;
    world.finish(service).await;
}
