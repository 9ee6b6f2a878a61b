//! Third-party scanners: checkov for the rendered objects, hadolint for the images' Dockerfile.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::Value;
use tasks::node::package_dir;
use tasks::python::{CHART_TOOLS, Tools};

use super::{engine::Engine, objects::list, values::evaluation};

/// Accepted findings with their reasons: `check`, `objects` (prefixes of `Kind name`), `reason`.
const SKIPS: &str = "helm/checks/checkov-skips.yaml";

#[test]
fn checkov_finds_nothing_that_is_not_explained() {
    let tools = Tools::ready(CHART_TOOLS).unwrap_or_else(|missing| panic!("{missing}"));
    let mut engine = Engine::start();
    let production = engine.values("values-production.yaml");
    // checkov skips folders whose names begin with a dot.
    let folder = tempfile::Builder::new().prefix("checkov").tempdir().unwrap();
    for (mode, values) in [("evaluation", evaluation()), ("production", production)] {
        for (number, object) in engine.render(&values).all().iter().enumerate() {
            // JSON is YAML.
            fs::write(folder.path().join(format!("{mode}-{number}.yaml")), object.to_string()).unwrap();
        }
    }
    let output = Command::new(tools.program("checkov"))
        .args([
            "--framework",
            "kubernetes",
            "--skip-download",
            "--compact",
            "--quiet",
            "--output",
            "json",
            "--directory",
        ])
        .arg(folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert!(report["summary"]["passed"].as_i64().unwrap() > 1000, "{}", report["summary"]);
    assert_eq!(report["summary"]["parsing_errors"], 0);

    let skips = engine.read_one(SKIPS);
    let mut needed: BTreeMap<&str, bool> = BTreeMap::new();
    for skip in list(&skips) {
        assert!(skip["reason"].as_str().unwrap().len() > 20, "{skip} has no reason");
        assert!(needed.insert(skip["check"].as_str().unwrap(), false).is_none(), "{skip} is there twice");
    }
    for finding in list(&report["results"]["failed_checks"]) {
        let check = finding["check_id"].as_str().unwrap();
        // Such as Deployment.shop.jaego-sales.
        let resource = finding["resource"].as_str().unwrap().replacen(".shop.", " ", 1);
        let explains = |skip: &&Value| {
            skip["check"] == check
                && list(&skip["objects"]).iter().any(|begin| resource.starts_with(begin.as_str().unwrap()))
        };
        assert!(list(&skips).iter().any(|skip| explains(&skip)), "{check} ({}): {resource}", finding["check_name"]);
        needed.insert(check, true);
    }
    let unneeded: Vec<&str> = needed.into_iter().filter(|(_, needed)| !needed).map(|(check, _)| check).collect();
    assert_eq!(unneeded, [""; 0], "{SKIPS} explains what is not found any more");
}

#[test]
fn the_images_recipe_is_clean() {
    let tools = Tools::ready(CHART_TOOLS).unwrap_or_else(|missing| panic!("{missing}"));
    let recipe = ["Dockerfile", "images/Dockerfile"].map(package_dir).into_iter().find(|path| path.is_file());
    let recipe = recipe.expect("the images have a Dockerfile");
    let output =
        Command::new(tools.program("hadolint")).args(["--failure-threshold", "style"]).arg(&recipe).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let text = fs::read_to_string(&recipe).unwrap();
    assert!(!text.contains("hadolint ignore"), "a finding that is silenced is not explained");
}
