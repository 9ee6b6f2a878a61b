//! The process: its commands, its probes, its end.

use std::time::Duration;

use frontend::app::PROGRAM;
use reqwest::Method;
use testkit::process::Spec;
use testkit::service::Surroundings;
use testkit::wait_until;

use crate::harness::{Front, NOWHERE, SOON};
use crate::upstream::Upstream;

fn program(log: &std::path::Path, command: &str) -> Spec {
    Spec::new("frontend", env!("CARGO_BIN_EXE_frontend"), log).arg(command)
}

#[tokio::test]
async fn the_program_serves_and_stops_when_it_is_told() {
    let surroundings = Surroundings::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let name = |key: &str| format!("{}__{key}", PROGRAM.env_prefix);
    let mut env = surroundings.frontend().await;
    for key in ["SALES_PUBLIC_URL", "SALES_URL", "PRODUCTION_URL", "RESTOCK_URL"] {
        env.push((name(&format!("SERVICES__{key}")), NOWHERE.to_owned()));
    }
    env.retain(|(key, _)| !key.contains("TELEMETRY"));

    let mut checked =
        program(&folder.path().join("check.log"), "check-config").envs(env.clone()).spawn().expect("runs");
    assert!(checked.wait_exit(SOON).await.is_some_and(|status| status.success()));
    let without_key: Vec<_> = env.iter().filter(|(key, _)| !key.contains("SESSION__KEY")).cloned().collect();
    let log = folder.path().join("refused.log");
    let mut refused = program(&log, "serve").envs(without_key).spawn().expect("runs");
    assert!(refused.wait_exit(SOON).await.is_some_and(|status| !status.success()));
    let said = std::fs::read_to_string(&log).expect("a log");
    assert!(said.contains("session.key: must be"), "{said}");

    let log = folder.path().join("serve.log");
    let mut process = program(&log, "serve").envs(env).spawn().expect("runs");
    let api = wait_until("the line `listening`", SOON, async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let line = lines.find(|line| line["message"] == "listening")?;
        Some(format!("http://{}", line["api"].as_str()?))
    })
    .await;
    let client = testkit::http::client(SOON);
    let answer = client.get(format!("{api}/settings.json")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let status = process.terminate(Duration::from_secs(20)).await.expect("it ends");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn probes_and_metrics_are_on_the_third_port_alone() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    front.is("ready").await;
    assert_eq!(front.get("/sales/api/v1/products").await.status, 201);
    let admin = |path: &str| front.client.get(format!("{}{path}", front.admin)).send();
    assert_eq!(admin("/livez").await.expect("an answer").status(), 200);
    let metrics = admin("/metrics").await.expect("an answer").text().await.expect("text");
    for name in ["http_server_request_duration_seconds", "jaego_broker_connected", "jaego_live_clients"] {
        assert!(metrics.contains(name), "{name} is not measured:\n{metrics}");
    }
    assert!(!metrics.contains("CP-1") && !metrics.contains("/sales/api/v1/products\""), "{metrics}");
    // These are pages there, and nothing more.
    for path in ["/livez", "/readyz", "/metrics"] {
        assert!(front.get(path).await.text().contains("<title>shop"), "{path}");
    }
    front.stop().await;
}

#[tokio::test]
async fn a_request_in_hand_is_answered_before_the_end() {
    let upstream = Upstream::start();
    let front = Front::before(&upstream, &[]).await;
    let held = tokio::spawn(front.request(Method::GET, "/sales/api/v1/products/held").send());
    wait_until("it is on its way", SOON, async || (!upstream.seen().is_empty()).then_some(())).await;
    let (client, admin) = (front.client.clone(), front.admin.clone());
    let stopping = tokio::spawn(front.stop());
    wait_until("it says that it is stopping", SOON, async || {
        let answer = client.get(format!("{admin}/readyz")).send().await.map_err(|error| error.to_string())?;
        if answer.status() == 503 { Ok(()) } else { Err(answer.status().to_string()) }
    })
    .await;
    upstream.go_on();
    assert_eq!(held.await.expect("no panic").expect("an answer").status(), 200);
    stopping.await.expect("stopped");
}
