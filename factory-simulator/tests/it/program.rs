//! The program: it prints its address, and stops when asked.

use std::time::Duration;

use testkit::{
    process::{Spec, is_running},
    wait_until,
};

/// Only a broken program takes this long.
const LONG: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_program_becomes_ready_and_ends_when_asked() {
    let root = tempfile::tempdir().unwrap();
    let record = root.path().join("factory.pid");
    let log = root.path().join("factory.log");
    let spec = Spec::new("factory-simulator", env!("CARGO_BIN_EXE_factory-simulator"), &log);
    let mut process = spec.args(["--stage-ms", "5"]).record(&record, "factory-simulator").spawn().unwrap();
    let url = wait_until("the simulator's address", LONG, || async {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned).ok_or(text)
    })
    .await;
    process.wait_ok(&format!("{url}/sim/faults"), LONG).await.unwrap();
    assert!(is_running(&record));
    let status = process.terminate(LONG).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(!record.exists());
}
