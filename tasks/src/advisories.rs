//! `cargo xtask advisories`: known vulnerabilities of the crates and of the npm packages.

use std::{
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::checks::{cargo_with, has};
use crate::node::{API_CLIENT, CHART_CHECKS, Node, WEB, package_dir};
use crate::output::{NOT_CHECKED, answer};

/// Time limit for fetching RustSec's list.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// The result of comparing the packages in use with a list of advisories.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Clean,
    Vulnerable(String),
    /// The list could not be read; nothing is known.
    NotChecked(String),
}

/// Asks RustSec and npm. The exit code is 1 if a package is vulnerable, otherwise [`NOT_CHECKED`] if a list could not
/// be read.
pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    let mut verdicts = vec![("the crates of Cargo.lock", crates().await?)];
    for package in [WEB, API_CLIENT, CHART_CHECKS] {
        verdicts.push((package, npm(package).await?));
    }
    for (what, verdict) in &verdicts {
        answer(&match verdict {
            Verdict::Clean => format!("{what}: no known vulnerability"),
            Verdict::Vulnerable(which) => format!("{what}: vulnerable: {which}"),
            Verdict::NotChecked(why) => format!("{what}: not checked: {why}"),
        });
    }
    let is_any = |wanted: fn(&Verdict) -> bool| verdicts.iter().any(|(_, verdict)| wanted(verdict));
    Ok(if is_any(|verdict| matches!(verdict, Verdict::Vulnerable(_))) {
        ExitCode::FAILURE
    } else if is_any(|verdict| matches!(verdict, Verdict::NotChecked(_))) {
        ExitCode::from(NOT_CHECKED)
    } else {
        ExitCode::SUCCESS
    })
}

async fn crates() -> anyhow::Result<Verdict> {
    if !has("deny").await {
        return Ok(Verdict::NotChecked("cargo-deny is not installed (`cargo install cargo-deny`)".to_owned()));
    }
    let mut fetch = cargo_with(&["deny", "fetch", "db"]);
    let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetch.stdin(Stdio::null()).output()).await;
    match fetched {
        Ok(output) if output.as_ref().is_ok_and(|output| output.status.success()) => {}
        Ok(output) => {
            let said = output.context("cannot run cargo deny")?.stderr;
            return Ok(Verdict::NotChecked(format!("RustSec's list cannot be fetched: {}", last_line(&said))));
        }
        Err(_) => return Ok(Verdict::NotChecked("RustSec's list did not arrive within a minute".to_owned())),
    }
    let status = cargo_with(&["deny", "check", "--disable-fetch", "advisories"]).status().await;
    let is_clean = status.context("cannot run cargo deny")?.success();
    Ok(if is_clean { Verdict::Clean } else { Verdict::Vulnerable("see above".to_owned()) })
}

async fn npm(package: &str) -> anyhow::Result<Verdict> {
    let Ok(node) = Node::find() else {
        return Ok(Verdict::NotChecked("Node.js or npm is missing".to_owned()));
    };
    let mut audit: Command = node.npm(&package_dir(package));
    audit.args(["audit", "--json", "--fetch-retries=0", "--fetch-timeout=20000"]);
    let output = audit.output().await.context("cannot run npm")?;
    Ok(verdict_of_npm(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads `npm audit --json`. Its exit code is the same for a vulnerable package and for a list that does not answer.
fn verdict_of_npm(report: &str) -> Verdict {
    let report: Value = serde_json::from_str(report).unwrap_or_default();
    match report.pointer("/metadata/vulnerabilities/total").and_then(Value::as_u64) {
        Some(0) => Verdict::Clean,
        Some(_) => {
            let names = report["vulnerabilities"].as_object().into_iter().flatten();
            let names = names.map(|(name, found)| format!("{name} ({})", found["severity"].as_str().unwrap_or("?")));
            Verdict::Vulnerable(names.collect::<Vec<_>>().join(", "))
        }
        None => Verdict::NotChecked(format!(
            "npm's list does not answer: {}",
            report["message"].as_str().unwrap_or("npm audit gives no report")
        )),
    }
}

fn last_line(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().lines().last().unwrap_or("it gives no reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Control: advisories.
    #[test]
    fn a_list_that_does_not_answer_is_not_a_clean_one() {
        let clean =
            r#"{"auditReportVersion": 2, "vulnerabilities": {}, "metadata": {"vulnerabilities": {"total": 0}}}"#;
        assert_eq!(verdict_of_npm(clean), Verdict::Clean);
        let found =
            r#"{"vulnerabilities": {"lodash": {"severity": "high"}}, "metadata": {"vulnerabilities": {"total": 1}}}"#;
        assert_eq!(verdict_of_npm(found), Verdict::Vulnerable("lodash (high)".to_owned()));
        let refused = r#"{"message": "405 Method Not Allowed - POST", "statusCode": 405, "error": {"summary": ""}}"#;
        for unknown in [refused, "{}", "", "npm error"] {
            assert!(matches!(verdict_of_npm(unknown), Verdict::NotChecked(_)), "{unknown}");
        }
    }
}
