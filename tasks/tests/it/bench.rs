//! `cargo xtask bench --quick` from the command line: every case runs, and its audit passes. The results are not
//! checked.

use std::{path::PathBuf, process::Stdio, time::Duration};

use localstack::programs::is_fresh;
use tokio::process::Command;

use e2e::{Folder, programs, programs_dir};

/// Headings of all cases in the output.
const CASES: [&str; 8] = [
    "Intake of orders",
    "Relay of events",
    "Receipts of goods",
    "Delivery to a factory",
    "End to end, idle",
    "An idle stack",
    "Rude clients",
    "Growth",
];

const END: Duration = Duration::from_secs(840);

#[tokio::test(flavor = "multi_thread")]
async fn every_case_runs_and_its_audit_is_clean() {
    programs().await;
    build_benchmark().await;
    let folder = Folder::new();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tasks"));
    bench.args(["bench", "--quick"]).arg("--programs").arg(programs_dir()).arg("--dir").arg(folder.path());
    let run = bench.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(END, run).await.expect("it ends").expect("xtask runs");
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{printed}");
    for case in CASES {
        assert!(printed.contains(&format!("\n{case}")), "{case}: {printed}");
    }
    let audits = printed.matches("audit: `GET /api/v1/audit` of sales-service: ").count();
    assert_eq!(audits, CASES.len(), "{printed}");
}

/// A test run of the whole workspace has just built it; a run of these tests alone has not.
async fn build_benchmark() {
    if is_fresh(&programs_dir().join("jaego-bench"), ["bench", "testkit", "localstack"]) {
        return;
    }
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "bench", "--manifest-path"]).arg(manifest);
    let status = cargo.kill_on_drop(true).status().await.expect("cargo runs");
    assert!(status.success(), "the benchmark can be built");
}
