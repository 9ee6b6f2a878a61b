//! Child processes: stopped, killed, found again by their record.

use std::{os::unix::process::ExitStatusExt as _, path::Path, time::Duration};

use testkit::{
    process::{Spec, find_on_path, is_running, stop_recorded},
    wait_until,
};

/// Only a broken program takes this long.
const LONG: Duration = Duration::from_secs(120);

/// A program that runs until it is stopped.
fn sleeper(root: &Path) -> Spec {
    Spec::new("sleep", find_on_path("sleep").unwrap(), root.join("sleep.log")).arg("98765")
}

#[tokio::test]
async fn a_crash_is_a_crash() {
    let root = tempfile::tempdir().unwrap();
    let mut process = sleeper(root.path()).spawn().unwrap();
    assert_eq!(process.kill9().unwrap().signal(), Some(9));
    let error = process.check_alive().unwrap_err().to_string();
    assert!(error.starts_with("sleep ended unexpectedly (signal 9)\nlog: "), "{error}");
}

#[tokio::test]
async fn a_program_that_fails_at_once_reports_the_reason() {
    let root = tempfile::tempdir().unwrap();
    let sh = Spec::new("sh", find_on_path("sh").unwrap(), root.path().join("sh.log"));
    let mut process = sh.args(["-c", "echo no --nonsense >&2; exit 2"]).spawn().unwrap();
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
async fn only_the_detached_program_is_found_by_its_record() {
    let root = tempfile::tempdir().unwrap();
    let record = root.path().join("sleep.pid");
    let process = sleeper(root.path()).record(&record, "sleep 98765").spawn().unwrap();
    process.detach();
    // The kernel shows the command a moment after the process was created.
    wait_until("the program", LONG, async || is_running(&record).then_some(())).await;

    let stranger = root.path().join("stranger.pid");
    std::fs::write(&stranger, format!("{}\nsome other program\nTERM\n", std::process::id())).unwrap();
    assert!(!is_running(&stranger));
    assert!(!stop_recorded(&stranger, LONG).await.unwrap());

    assert!(stop_recorded(&record, LONG).await.unwrap());
    assert!(!record.exists());
}
