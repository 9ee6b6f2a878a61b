//! Results, as stored from one run to the next. The document is generated from all of them.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::{machine::Machine, selection::Case, statistics::Spread};

/// All cases, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The newest result of each case.
    pub cases: BTreeMap<String, CaseResult>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// Time of the measurement.
    pub at: String,
    /// The command that was run.
    pub command: String,
    pub machine: Machine,
    pub rows: Vec<Row>,
    /// Remarks for readers.
    pub notes: Vec<String>,
    /// Results of the final audit.
    pub audit: Vec<String>,
    /// Values over time, for line charts.
    #[serde(default)]
    pub lines: Vec<Line>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    /// Unit, such as `orders/s`.
    pub unit: String,
    /// The target in words.
    pub target: String,
    /// Measured values.
    pub ours: Spread,
    pub baseline: Option<Baseline>,
    /// Median latency, milliseconds.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the latency, milliseconds.
    pub p99_ms: Option<f64>,
    /// True if the target is met; None if there is no target.
    pub met: Option<bool>,
}

/// The other side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub name: String,
    /// Its measured values.
    pub figure: Spread,
    /// Ratio of ours to the baseline, turn by turn.
    pub ratio: Spread,
    /// 99th percentile of its latency, milliseconds.
    pub p99_ms: Option<f64>,
}

/// Values over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Title of the chart.
    pub title: String,
    /// Unit of the values, such as `MB`.
    pub unit: String,
    /// Unit of the steps, such as `s`.
    pub step: String,
    /// One value per step.
    pub values: Vec<f64>,
}

impl CaseResult {
    /// An empty result.
    pub fn new(machine: Machine, command: String) -> Self {
        let at = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string();
        Self { at, command, machine, rows: Vec::new(), notes: Vec::new(), audit: Vec::new(), lines: Vec::new() }
    }
}

impl Results {
    /// Reads the results of earlier runs; there are none before the first measurement.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} cannot be understood", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, format!("{text}\n")).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The results in the order of the document.
    pub fn in_order(&self) -> impl Iterator<Item = (Case, &CaseResult)> {
        Case::value_variants().iter().filter_map(|&case| Some((case, self.cases.get(case.name())?)))
    }
}
