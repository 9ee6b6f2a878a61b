//! The program on its command line. Its measurements and their audits are tested in xtask.

use std::time::Duration;

use tempfile::TempDir;
use testkit::{
    process::{Process, Spec},
    servers::choose_ports,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_jaego-bench");

/// A baseline must answer like the measured service: as many bytes, and 201.
#[tokio::test]
async fn the_empty_server_answers_as_an_order_is_answered() {
    let folder = TempDir::new().unwrap();
    let [port] = choose_ports([0]).unwrap();
    let listen = format!("127.0.0.1:{port}");
    let mut server: Process = Spec::new("empty", PROGRAM, folder.path().join("empty.log"))
        .args(["serve", "empty", "--listen", &listen])
        .spawn()
        .unwrap();
    let url = format!("http://{listen}");
    server.wait_ok(&url, Duration::from_secs(30)).await.unwrap();
    let client = testkit::http::client(Duration::from_secs(30));
    let answer = client.post(format!("{url}/api/v1/orders")).body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let order: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(order["status"], "confirmed");
}
