//! The process: commands, probes, shutdown.

use std::path::Path;
use std::time::Duration;

use frontend::app::PROGRAM;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::process::{Process, Spec};
use testkit::service::Surroundings;
use testkit::wait_until;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Front, NOWHERE, SOON, publish};
use crate::upstream::Upstream;

fn program(log: &Path, command: &str) -> Spec {
    Spec::new("frontend", env!("CARGO_BIN_EXE_frontend"), log).arg(command)
}

/// The settings of the real program as environment variables, with the log as JSON.
async fn environment(surroundings: &Surroundings) -> Vec<(String, String)> {
    let mut env = surroundings.frontend().await;
    for key in ["SALES_PUBLIC_URL", "SALES_URL", "PRODUCTION_URL", "RESTOCK_URL"] {
        env.push((format!("{}__SERVICES__{key}", PROGRAM.env_prefix), NOWHERE.to_owned()));
    }
    env.push((format!("{}__ACCESS__URL", PROGRAM.env_prefix), NOWHERE.to_owned()));
    env.retain(|(key, _)| !key.contains("TELEMETRY"));
    env
}

/// Starts the program and returns the addresses of its listeners.
async fn serve(log: &Path, env: Vec<(String, String)>) -> (Process, Value) {
    let process = program(log, "serve").envs(env).spawn().expect("runs");
    let line = wait_until("the line `listening`", SOON, async || {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["message"] == "listening")
    })
    .await;
    (process, line)
}

#[tokio::test]
async fn the_program_serves_and_stops_on_a_signal() {
    let surroundings = Surroundings::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let env = environment(&surroundings).await;

    let mut checked =
        program(&folder.path().join("check.log"), "check-config").envs(env.clone()).spawn().expect("runs");
    assert!(checked.wait_exit(SOON).await.is_some_and(|status| status.success()));
    let without: Vec<_> = env.iter().filter(|(key, _)| !key.contains("ACCESS__CREDENTIAL")).cloned().collect();
    let log = folder.path().join("refused.log");
    let mut refused = program(&log, "serve").envs(without).spawn().expect("runs");
    assert!(refused.wait_exit(SOON).await.is_some_and(|status| !status.success()));
    let said = std::fs::read_to_string(&log).expect("a log");
    assert!(said.contains("access.credential: must"), "{said}");

    let (mut process, line) = serve(&folder.path().join("serve.log"), env).await;
    let api = format!("http://{}", line["api"].as_str().expect("an address"));
    let client = testkit::http::client(SOON);
    let answer = client.get(format!("{api}/settings.json")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let status = process.terminate(Duration::from_secs(20)).await.expect("it ends");
    assert!(status.success(), "{status}");
}

/// A busy shop's number of browsers, in little memory.
#[tokio::test]
async fn five_hundred_browsers_follow_live_events_in_sixty_megabytes() {
    const BROWSERS: usize = 500;
    let surroundings = Surroundings::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (process, line) = serve(&folder.path().join("serve.log"), environment(&surroundings).await).await;
    let address = line["public"].as_str().expect("an address").to_owned();
    let admin = format!("http://{}", line["admin"].as_str().expect("an address"));
    let client = testkit::http::client(SOON);
    wait_until("it hears the broker", SOON, async || {
        let report: Value = client
            .get(format!("{admin}/readyz"))
            .send()
            .await
            .map_err(|error| error.to_string())?
            .json()
            .await
            .map_err(|error| error.to_string())?;
        if report["checks"]["broker-live"] == "ok" { Ok(()) } else { Err(report.to_string()) }
    })
    .await;

    let idle = private_kilobytes(&process);
    let mut browsers = Vec::new();
    for _ in 0..BROWSERS {
        let mut stream = TcpStream::connect(&address).await.expect("connected");
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: shop\r\n\r\n").await.expect("sent");
        browsers.push((stream, String::new()));
    }
    for browser in &mut browsers {
        read_until(browser, "retry: 2000").await;
    }
    for number in 0..20 {
        let data = json!({ "sku": format!("CP-{number}"), "on_hand": number });
        publish(&surroundings, "stock.changed", &data).await;
    }
    for browser in &mut browsers {
        read_until(browser, "\"CP-19\"").await;
    }
    // A debug build also has its own code in memory, which is not shipped.
    let (before, after) = (idle, private_kilobytes(&process));
    println!("{BROWSERS} browsers: {after} kB of its own, {before} kB before");
    assert!(after < 60_000 && after - before < 25_000, "{after} kB for {BROWSERS} browsers, {before} kB for none");
}

/// The private memory of a process.
fn private_kilobytes(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it runs");
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
    own.trim().trim_end_matches(" kB").parse().expect("a number")
}

async fn read_until((stream, read): &mut (TcpStream, String), wanted: &str) {
    let reading = async {
        let mut buffer = [0; 4096];
        while !read.contains(wanted) {
            let length = stream.read(&mut buffer).await.expect("readable");
            assert!(length > 0, "ended after {read}");
            read.push_str(std::str::from_utf8(&buffer[..length]).expect("text"));
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("in time");
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
    // On this listener these paths are ordinary pages.
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
