//! `cargo xtask up`, `down` and `reset` from the command line.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use localstack::api::Api;
use localstack::demo::FIRST_SKU;
use localstack::stack::Service;
use serde_json::{Value, json};
use testkit::{process, wait_until};
use tokio::process::{Child, Command};

use e2e::{Folder, programs, programs_dir};

const START: Duration = Duration::from_secs(180);

/// Starts and stops one stack in several ways.
#[tokio::test(flavor = "multi_thread")]
async fn a_stack_goes_up_and_down_and_keeps_its_data() {
    programs().await;
    let folder = Folder::new();
    let dir = folder.path().join("dev");

    // In the foreground. A crash of xtask leaves the other processes running.
    let mut up = spawn(&dir, &["up", "--stage-ms", "50"]);
    let env = wait_ready(&dir, &mut up).await;
    assert_eq!(order_one(&env).await, 201);
    let refused = xtask(&dir, &["up"]).await;
    assert!(
        !refused.ok && refused.text.contains("already running") && refused.text.contains(&env["SALES_URL"]),
        "{}",
        refused.text
    );
    let crashed = records(&dir);
    assert_eq!(crashed.len(), Service::ALL.len() + 5, "{crashed:?}");
    the_frontend_serves(&env).await;
    up.kill().await.unwrap();
    assert!(crashed.iter().all(|record| process::is_running(record)));

    // `up` again, detached: the old processes are gone, the data and the addresses are kept.
    let detached = xtask(&dir, &["up", "--detach", "--stage-ms", "50"]).await;
    assert!(detached.ok, "{}", detached.text);
    assert!(crashed.iter().all(|record| !process::is_running(record)), "left behind by the crash");
    let again = read_env(&dir).unwrap();
    assert_eq!(again.keys().collect::<Vec<_>>(), env.keys().collect::<Vec<_>>());
    for (name, value) in env.iter().filter(|(name, value)| again[*name] != **value) {
        assert!(is_taken(value), "{name} has changed from {value} to {} without need", again[name]);
    }
    let env = again;
    assert_eq!(on_hand(&env).await, 2);
    let (_, printed) = detached.text.split_once("Jaego is up.").expect("it is up");
    let first = printed.lines().find(|line| line.contains("http://")).expect("an address");
    assert!(
        first.ends_with(&env["FRONTEND_URL"]) || first.contains(&format!("{}   (without", env["FRONTEND_URL"])),
        "{first}"
    );
    assert!(detached.text.matches("curl").count() == 3, "{}", detached.text);
    let refused = xtask(&dir, &["up", "--detach"]).await;
    assert!(!refused.ok && refused.text.contains("already running"), "{}", refused.text);
    assert_eq!(on_hand(&env).await, 2);

    let running = records(&dir);
    let down = xtask(&dir, &["down"]).await;
    assert!(down.ok, "{}", down.text);
    assert!(running.iter().all(|record| !process::is_running(record)), "left behind by down");
    assert!(xtask(&dir, &["down"]).await.text.contains("Nothing runs"));

    // In the foreground again, stopped from another terminal. Nothing is left of it afterwards.
    let mut up = spawn(&dir, &["up", "--stage-ms", "50"]);
    let env = wait_ready(&dir, &mut up).await;
    assert_eq!(on_hand(&env).await, 2);
    let running = records(&dir);
    assert!(!xtask(&dir, &["reset"]).await.ok, "who cannot be asked must say --yes");
    let reset = xtask(&dir, &["reset", "--yes"]).await;
    assert!(reset.ok, "{}", reset.text);
    assert!(up.wait().await.unwrap().success());
    assert!(running.iter().all(|record| !process::is_running(record)), "left behind by reset");
    assert!(!dir.exists());
}

struct Said {
    ok: bool,
    text: String,
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasks"));
    if args.starts_with(&["up"]) {
        command.arg("up").arg("--programs").arg(programs_dir()).args(&args[1..]);
    } else {
        command.args(args);
    }
    command.arg("--dir").arg(dir).stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn xtask(dir: &Path, args: &[&str]) -> Said {
    let output = command(dir, args).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Said { ok: output.status.success(), text }
}

fn spawn(dir: &Path, args: &[&str]) -> Child {
    fs::create_dir_all(dir).unwrap();
    let log = fs::File::options().create(true).append(true).open(log(dir)).unwrap();
    command(dir, args).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn log(dir: &Path) -> PathBuf {
    dir.with_extension("log")
}

/// Waits for the environment file, which is written last.
async fn wait_ready(dir: &Path, up: &mut Child) -> BTreeMap<String, String> {
    let pid = up.id().unwrap();
    wait_until("a stack that is up", START, || {
        let ended = up.try_wait().unwrap();
        async move {
            if let Some(status) = ended {
                panic!("`up` (process {pid}) ended: {status}\n{}", process::tail(log(dir), 40));
            }
            read_env(dir).ok_or_else(|| process::tail(log(dir), 3))
        }
    })
    .await
}

/// The variables that a shell has after sourcing the file.
fn read_env(dir: &Path) -> Option<BTreeMap<String, String>> {
    let text = fs::read_to_string(dir.join("env")).ok()?;
    let exports = text.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    Some(exports.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect())
}

/// Acts as a browser: an operator can sign in and control the simulated factory.
async fn the_frontend_serves(env: &BTreeMap<String, String>) {
    let client = testkit::http::client(Duration::from_secs(20));
    let url = |path: &str| format!("{}{path}", env["FRONTEND_URL"]);
    let settings: Value = client.get(url("/settings.json")).send().await.unwrap().json().await.unwrap();
    assert_eq!((&settings["console"], &settings["demo"]), (&json!(true), &json!(true)), "{settings}");
    let products = client.get(format!("{}/sales/api/v1/products", env["FRONTEND_PUBLIC_URL"])).send().await.unwrap();
    assert_eq!(products.status(), 200);
    let signing_in = client.post(url("/session")).header("sec-fetch-site", "same-origin");
    let signed_in = signing_in.json(&json!({ "token": env["OPERATOR_TOKEN"] })).send().await.unwrap();
    assert_eq!(signed_in.status(), 200);
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    assert!(!cookie.contains("Secure"), "there is no https on this machine: {cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    for path in ["/production/api/v1/factories", "/restock/api/v1/receipts", "/sales/api/v1/stock", "/demo/faults"] {
        let answer = client.get(url(path)).header("cookie", &cookie).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

async fn order_one(env: &BTreeMap<String, String>) -> u16 {
    let body = json!({ "lines": [{ "sku": FIRST_SKU, "quantity": 1 }] });
    Api::new(&env["SALES_URL"]).post("/api/v1/orders", &[], &body).await.unwrap().status.as_u16()
}

async fn on_hand(env: &BTreeMap<String, String>) -> i64 {
    let sales = Api::new(&env["SALES_URL"]).with_token(&env["OPERATOR_TOKEN"]);
    let stock = sales.get(&format!("/api/v1/stock/{FIRST_SKU}")).await.unwrap().ok("look at the stock").unwrap();
    stock["on_hand"].as_i64().unwrap()
}

/// Copies the records of all running processes, because the originals are deleted with them.
fn records(dir: &Path) -> Vec<PathBuf> {
    let copies = dir.with_extension("records");
    fs::create_dir_all(&copies).unwrap();
    let programs = Service::ALL.map(Service::program).into_iter().chain(["frontend", "factory-simulator"]);
    let programs = programs.map(|name| dir.join("pids").join(name).with_extension("pid"));
    let servers = ["postgres/server.pid", "rabbitmq/server.pid", "rabbitmq/epmd.pid"].map(|name| dir.join(name));
    let copy = |(index, record): (usize, PathBuf)| {
        let pid = fs::read_to_string(&record).ok()?.lines().next()?.to_owned();
        let copy = copies.join(format!("{index}-{pid}"));
        fs::copy(&record, &copy).ok()?;
        process::is_running(&copy).then_some(copy)
    };
    programs.chain(servers).enumerate().filter_map(copy).collect()
}

/// Returns whether another process, perhaps another test, has taken an address in between.
fn is_taken(url: &str) -> bool {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let port = url.rsplit(':').next().and_then(|text| digits(text).parse::<u16>().ok());
    port.is_some_and(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_err())
}
