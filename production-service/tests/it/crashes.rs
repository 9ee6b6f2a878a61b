//! The service dies, or loses hold of a call.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use testkit::factory::Faults;
use testkit::wait_until;

use crate::world::{FACTORY, SOON, World};

/// The real program; killed, not ended.
struct Process(Child);

impl Process {
    fn start(world: &World) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_production-service"));
        command.arg("serve").envs(world.env()).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killed already, unless the test failed before.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_in_the_middle_of_a_call_and_the_request_is_sent_again() {
    let mut world = World::new("1").await;
    world.set("DELIVERY__LEASE_MS", "1500");
    let service = world.start_with_factory().await;
    service.running.stop().await;
    world.factory.set_faults(Faults { delay_ms: 5_000, for_next: Some(1), ..Faults::default() }).unwrap();
    let process = Process::start(&world);
    let id = world.request(FACTORY, 10).await;
    wait_until("a call", SOON, async || (world.factory.requests().len() == 1).then_some(())).await;
    process.kill();

    let service = world.start().await;
    let shown = service.until(id, "accepted").await;
    let outcomes: Vec<&Value> = shown["attempts"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, [&json!("unknown"), &json!("accepted")]);
    let asked = world.factory.requests();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].idempotency_key, asked[1].idempotency_key);
    assert_ne!(asked[0].body, asked[1].body, "a new callback token");
    world.outcomes(1).await;
    world.finish(service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_after_the_lease_is_still_written_down() {
    let mut world = World::new("1").await;
    world.set("DELIVERY__LEASE_MS", "300");
    let service = world.start_with_factory().await;
    world.factory.set_faults(Faults { delay_ms: 1_500, for_next: Some(1), ..Faults::default() }).unwrap();
    let id = world.request(FACTORY, 10).await;
    let shown = service.until(id, "accepted").await;
    assert_eq!((&shown["attempts"][0]["outcome"], &shown["attempt_count"]), (&json!("unknown"), &json!(2)));
    wait_until("the first call's answer", SOON, || async {
        let shown = service.production_request(id).await.body;
        (shown["attempts"][0]["outcome"] == "accepted").then_some(()).ok_or(shown)
    })
    .await;
    // Two acceptances, one outcome.
    world.outcomes(1).await;
    world.finish(service).await;
}
