//! Child processes: stopped, killed, found again by their record.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use testkit::{
    process::{Spec, find_on_path, is_running, stop_recorded},
    wait_until,
};

/// Only a broken program takes this long.
const LONG: Duration = Duration::from_secs(120);

fn simulator(root: &std::path::Path) -> Spec {
    Spec::new("factory-simulator", env!("CARGO_BIN_EXE_factory-simulator"), root.join("factory.log"))
}

/// The program prints its URL.
async fn url_in(log: &std::path::Path) -> String {
    wait_until("the simulator's address", LONG, || async {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned).ok_or(text)
    })
    .await
}

#[tokio::test]
async fn a_program_becomes_ready_and_ends_when_asked() {
    let root = tempfile::tempdir().unwrap();
    let record = root.path().join("factory.pid");
    let spec = simulator(root.path()).args(["--stage-ms", "5"]).record(&record, "factory-simulator");
    let mut process = spec.spawn().unwrap();
    let url = url_in(process.log()).await;
    process.wait_ok(&format!("{url}/sim/faults"), LONG).await.unwrap();
    assert!(is_running(&record));
    let status = process.terminate(LONG).await.unwrap();
    assert!(status.success(), "{status}");
    assert!(!record.exists());
}

#[tokio::test]
async fn a_crash_is_a_crash() {
    let root = tempfile::tempdir().unwrap();
    let mut process = simulator(root.path()).spawn().unwrap();
    url_in(process.log()).await;
    assert_eq!(process.kill9().unwrap().signal(), Some(9));
    let error = process.check_alive().unwrap_err().to_string();
    assert!(error.starts_with("factory-simulator ended unexpectedly (signal 9)\nlog: "), "{error}");
}

#[tokio::test]
async fn a_program_that_fails_at_once_tells_why() {
    let root = tempfile::tempdir().unwrap();
    let mut process = simulator(root.path()).arg("--nonsense").spawn().unwrap();
    let error = process.wait_ok("http://127.0.0.1:1/", LONG).await.unwrap_err().to_string();
    assert!(error.contains("exit code 2") && error.contains("--nonsense"), "{error}");
}

#[tokio::test]
async fn a_stubborn_program_is_killed_with_its_children() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("sh.log");
    let script = "trap '' TERM; sleep 98765 & echo child $!; wait; sleep 98765";
    let mut process = Spec::new("sh", find_on_path("sh").unwrap(), &log).args(["-c", script]).spawn().unwrap();
    let child = wait_until("the child", LONG, || async {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.trim().strip_prefix("child ").map(str::to_owned)
    })
    .await;
    let status = process.terminate(Duration::from_millis(100)).await.unwrap();
    assert_eq!(status.signal(), Some(9));
    wait_until("the child's end", LONG, || async {
        std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_detached_program_is_found_by_its_record_and_nobody_else_is() {
    let root = tempfile::tempdir().unwrap();
    let record = root.path().join("factory.pid");
    let process = simulator(root.path()).record(&record, "factory-simulator").spawn().unwrap();
    url_in(process.log()).await;
    process.detach();
    assert!(is_running(&record));

    let stranger = root.path().join("stranger.pid");
    std::fs::write(&stranger, format!("{}\nsome other program\nTERM\n", std::process::id())).unwrap();
    assert!(!is_running(&stranger));
    assert!(!stop_recorded(&stranger, LONG).await.unwrap());

    assert!(stop_recorded(&record, LONG).await.unwrap());
    assert!(!record.exists());
}
