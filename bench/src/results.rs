//! What was measured, as it is kept from one run to the next: the document is made from all of it.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{cases::Case, machine::Machine, statistics::Spread};

/// All cases, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The newest result of each.
    pub cases: BTreeMap<String, CaseResult>,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// When it was measured.
    pub at: String,
    /// How.
    pub command: String,
    /// Where.
    pub machine: Machine,
    /// Its figures.
    pub rows: Vec<Row>,
    /// What is to be known about them.
    pub notes: Vec<String>,
    /// What was checked in the end.
    pub audit: Vec<String>,
    /// Figures over time.
    #[serde(default)]
    pub lines: Vec<Line>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What it is measured in, such as `orders/s`.
    pub unit: String,
    /// What is wanted, in words.
    pub target: String,
    /// What came out.
    pub ours: Spread,
    /// What it is compared with.
    pub baseline: Option<Baseline>,
    /// Median latency, milliseconds.
    pub p50_ms: Option<f64>,
    /// Latency of all but one in a hundred, milliseconds.
    pub p99_ms: Option<f64>,
    /// Whether that is what is wanted; none where nothing is.
    pub met: Option<bool>,
}

/// The other side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// What it is.
    pub name: String,
    /// Its figure.
    pub figure: Spread,
    /// Ours over its, turn by turn.
    pub ratio: Spread,
    /// Its latency, milliseconds.
    pub p99_ms: Option<f64>,
}

/// A figure over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The chart's title.
    pub title: String,
    /// What the figures are, such as `MB`.
    pub unit: String,
    /// What the steps are, such as `s`.
    pub step: String,
    /// The figures, one a step.
    pub values: Vec<f64>,
}

impl CaseResult {
    /// Nothing measured yet.
    pub fn new(machine: Machine, command: String) -> Self {
        let at = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC").to_string();
        Self { at, command, machine, rows: Vec::new(), notes: Vec::new(), audit: Vec::new(), lines: Vec::new() }
    }
}

impl Results {
    /// Those of earlier runs; none when nothing was measured yet.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} cannot be understood", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Keeps them.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, format!("{text}\n")).with_context(|| format!("cannot write {}", path.display()))
    }

    /// In the order in which they are told.
    pub fn in_order(&self) -> impl Iterator<Item = (Case, &CaseResult)> {
        Case::ALL.into_iter().filter_map(|case| Some((case, self.cases.get(case.name())?)))
    }
}
