//! Requests that schemathesis generates from the OpenAPI documents: each gets an answer that its document describes,
//! never a 5xx, and the books are right afterwards.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use chrono::Utc;
use jaego_contracts::callback::{CallbackClaims, CallbackSigner};
use jaego_contracts::ids::{FactoryId, Quantity, RequestId, Sku};
use localstack::cargo::workspace_root;
use localstack::demo::{FACTORY, FIRST_SKU};
use localstack::stack::Service;
use tasks::api_fuzz::{MINUTES, TEST};
use tasks::python::{API_FUZZ, API_TOOLS, Tools};
use tokio::process::Command;

use crate::api_client::{begin_sessions, publish_unreadable};
use e2e::World;

/// Maximum generated requests for each operation and phase: some 3,500 in all, which take half a minute.
const EXAMPLES: &str = "15";
const SEED: &str = "1";
/// Time for which a request waits for a connection to the database.
const PATIENCE_MS: &str = "20000";
/// Production requests with authentic callback tokens.
const TOKENS: usize = 40;

// Control: documented-answers.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "cargo xtask api-fuzz"]
async fn generated_requests_get_documented_answers() {
    assert_eq!(std::thread::current().name(), Some(TEST), "`cargo xtask api-fuzz` finds this test by its name");
    let tools = Tools::ready(API_TOOLS).unwrap_or_else(|missing| panic!("{missing}"));
    // A busy machine is slow, and that is no finding.
    let patient = Service::ALL.map(|service| (service, "DATABASE__WAIT_TIMEOUT_MS", PATIENCE_MS.to_owned()));
    let world = World::shared(patient.into()).await;
    world.sell_out().await;
    publish_unreadable(&world).await;
    begin_sessions(&world).await;
    let tokens = callback_tokens(&world).join(" ");

    // Set by `cargo xtask api-fuzz`: generate for so long, from a random seed.
    let minutes = std::env::var(MINUTES).ok();
    let runs = Service::ALL.map(|service| run(&tools, &world, service, &tokens, minutes.as_deref()));
    let ended = futures::future::join_all(runs).await;
    let wrong: Vec<String> = ended.into_iter().filter(|(status, _)| !status.success()).map(|(_, said)| said).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    for service in Service::MESSAGING {
        let audit = world.api(service).get("/api/v1/audit").await.unwrap().ok("read the audit").unwrap();
        assert_eq!(audit["ok"], true, "{service}: {audit}");
    }
    world.stop().await;
}

/// Runs schemathesis against one service. Returns how it ended and what it said, which is also shown if it runs for
/// minutes.
async fn run(
    tools: &Tools,
    world: &World,
    service: Service,
    tokens: &str,
    minutes: Option<&str>,
) -> (ExitStatus, String) {
    let folder = workspace_root().join(API_FUZZ);
    let mut schemathesis = Command::new(tools.program("schemathesis"));
    schemathesis.arg("--config-file").arg(folder.join("schemathesis.toml")).arg("--no-color");
    schemathesis.arg("run").arg(format!("{}/openapi.json", world.stack.urls(service).api));
    schemathesis.args(["--header", &format!("Authorization: Bearer {}", world.stack.operator_token())]);
    schemathesis.args(["--continue-on-failure", "--no-shrink", "--generation-database", "none", "--warnings", "off"]);
    match minutes {
        Some(minutes) => {
            let limit = Duration::from_secs(60) * minutes.parse().expect("a number of minutes");
            schemathesis.args(["--max-time", &limit.as_secs().to_string()]).stdout(Stdio::inherit());
        }
        None => drop(schemathesis.args(["--seed", SEED, "--max-examples", EXAMPLES]).stdout(Stdio::piped())),
    }
    schemathesis.env("SCHEMATHESIS_HOOKS", folder.join("hooks.py")).env("JAEGO_CALLBACK_TOKENS", tokens);
    // Nothing is left in the repository.
    schemathesis.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(world.stack.dir());
    let child = schemathesis.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status, format!("{service}\n{}", String::from_utf8_lossy(&said)))
}

/// Authentic tokens, as factories get them.
fn callback_tokens(world: &World) -> Vec<String> {
    let signer = CallbackSigner::from_pem(&world.stack.callback_keys().private_pem).unwrap();
    let (sku, factory): (Sku, FactoryId) = (FIRST_SKU.parse().unwrap(), FACTORY.parse().unwrap());
    let claims = |_| {
        let units = Quantity::try_from(1000).unwrap();
        let valid = chrono::Duration::days(1);
        CallbackClaims::new(RequestId::generate(), sku.clone(), units, factory.clone(), Utc::now(), valid)
    };
    (0..TOKENS).map(claims).map(|claims| signer.sign(&claims).unwrap()).collect()
}
