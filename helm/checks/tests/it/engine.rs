//! `helm/checks/engine.py`, kept running for the duration of a test.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tasks::node::{CHART_CHECKS, Node, package_dir};
use tasks::python::{CHART_TOOLS, Tools};

use super::objects::Rendered;

pub(super) const RELEASE: &str = "jaego";
pub(super) const NAMESPACE: &str = "shop";

pub(super) fn chart() -> PathBuf {
    package_dir("helm/jaego")
}

/// A release to be installed or upgraded.
pub(super) struct Release<'a> {
    pub(super) name: &'a str,
    pub(super) revision: u32,
    pub(super) upgrade: bool,
    /// True if `lookup` finds the objects of [`Engine::cluster`].
    pub(super) in_cluster: bool,
}

/// The first installation, without a cluster.
pub(super) const INSTALL: Release<'_> = Release { name: RELEASE, revision: 1, upgrade: false, in_cluster: false };

pub(super) struct Engine {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Engine {
    pub(super) fn start() -> Self {
        let tools = Tools::ready(CHART_TOOLS).unwrap_or_else(|missing| panic!("{missing}"));
        Node::ready(CHART_CHECKS).unwrap_or_else(|missing| panic!("{missing}"));
        let mut engine = Command::new(tools.program("python"));
        engine.arg(package_dir(CHART_CHECKS).join("engine.py")).arg(chart());
        let mut child = engine.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (requests, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, requests, answers: BufReader::new(answers) }
    }

    fn ask(&mut self, question: &Value) -> Result<Value, String> {
        writeln!(self.requests, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut answer: Value = serde_json::from_str(&line).expect("the engine answers; its traceback is above");
        match answer["refused"].as_str() {
            Some(refusal) => Err(refusal.to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }

    /// Messages of `helm lint` with `severity`, `path` and `error`.
    pub(super) fn lint(&mut self, values: &Value) -> Vec<Value> {
        let messages = self.ask(&json!({ "do": "lint", "values": values })).unwrap();
        messages.as_array().unwrap().clone()
    }

    /// Renders the objects. Returns Helm's message if it refuses the values.
    pub(super) fn try_render(&mut self, values: &Value, release: &Release<'_>) -> Result<Rendered, String> {
        let answer = self.ask(&json!({
            "do": "render", "values": values, "name": release.name, "namespace": NAMESPACE,
            "revision": release.revision, "upgrade": release.upgrade, "in_cluster": release.in_cluster,
        }))?;
        Ok(Rendered::new(&answer))
    }

    /// Renders the objects of a first installation.
    pub(super) fn render(&mut self, values: &Value) -> Rendered {
        self.try_render(values, &INSTALL).unwrap_or_else(|refusal| panic!("{refusal}\n{values}"))
    }

    /// Problems for which an API server of any checked version would refuse the objects.
    pub(super) fn problems(&mut self, objects: &[Value]) -> Vec<String> {
        serde_json::from_value(self.ask(&json!({ "do": "validate", "objects": objects })).unwrap()).unwrap()
    }

    /// Makes `lookup` find these objects from now on, as an API server would after they were installed.
    pub(super) fn cluster(&mut self, objects: &[Value]) {
        self.ask(&json!({ "do": "cluster", "objects": objects })).unwrap();
    }

    /// Documents of a YAML file, or the one of a TOML file, below the repository's root.
    pub(super) fn read(&mut self, path: &str) -> Vec<Value> {
        let documents = self.ask(&json!({ "do": "read", "path": package_dir(path) })).unwrap();
        documents.as_array().unwrap().clone()
    }

    /// The only document of a file.
    pub(super) fn read_one(&mut self, path: &str) -> Value {
        self.read(path).swap_remove(0)
    }

    /// Parses a TOML document.
    pub(super) fn toml(&mut self, text: &str) -> Value {
        self.ask(&json!({ "do": "toml", "text": text })).unwrap()
    }

    /// Reads a values file of the chart.
    pub(super) fn values(&mut self, file: &str) -> Value {
        self.read_one(&format!("helm/jaego/{file}"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
