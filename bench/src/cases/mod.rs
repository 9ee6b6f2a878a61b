//! What is measured.

mod delivery;
mod end_to_end;
mod fresh;
mod growth;
mod idle;
mod intake;
mod memory;
mod receipts;
mod relay;

use clap::ValueEnum;

use crate::{
    cli::{Run, answer, say},
    document,
    results::{Baseline, CaseResult, Results, Row},
    statistics::Spread,
};

/// A case: one section of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Orders.
    Intake,
    /// From the outbox to the broker.
    Relay,
    /// Callbacks of factories.
    Receipts,
    /// Requests to a factory.
    Delivery,
    /// One thing at a time.
    EndToEnd,
    /// Nothing at all.
    Idle,
    /// Much, and long.
    Growth,
}

impl Case {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 7] =
        [Self::Intake, Self::Relay, Self::Receipts, Self::Delivery, Self::EndToEnd, Self::Idle, Self::Growth];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Relay => "relay",
            Self::Receipts => "receipts",
            Self::Delivery => "delivery",
            Self::EndToEnd => "end-to-end",
            Self::Idle => "idle",
            Self::Growth => "growth",
        }
    }

    /// As a heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Intake => "Intake of orders",
            Self::Relay => "Relay of events",
            Self::Receipts => "Receipts of goods",
            Self::Delivery => "Delivery to a factory",
            Self::EndToEnd => "End to end, idle",
            Self::Idle => "A stack that nobody uses",
            Self::Growth => "Growth",
        }
    }

    async fn measure(self, wanted: &Run) -> anyhow::Result<CaseResult> {
        match self {
            Self::Intake => intake::measure(wanted).await,
            Self::Relay => relay::measure(wanted).await,
            Self::Receipts => receipts::measure(wanted).await,
            Self::Delivery => delivery::measure(wanted).await,
            Self::EndToEnd => end_to_end::measure(wanted).await,
            Self::Idle => idle::measure(wanted).await,
            Self::Growth => growth::measure(wanted).await,
        }
    }
}

/// Measures what is wanted, shows it, and writes it down.
pub async fn run(wanted: &Run) -> anyhow::Result<()> {
    let cases = if wanted.cases.is_empty() { Case::ALL.to_vec() } else { wanted.cases.clone() };
    let is_written = wanted.write || !wanted.quick;
    for case in cases {
        say(&format!("{}: starting a stack", case.title()));
        let mut result = case.measure(wanted).await?;
        if wanted.quick {
            // A few seconds say nothing about a target.
            result.rows.iter_mut().for_each(|row| row.met = None);
        }
        answer(&document::table(case, &result));
        if is_written {
            // After each case: a later one that fails does not take the figures of this one with it.
            let path = wanted.docs.join("benchmarks/results.json");
            let mut results = Results::read(&path)?;
            results.cases.insert(case.name().to_owned(), result);
            document::write(&results, &wanted.docs)?;
        }
    }
    if is_written {
        say(&format!("Wrote {}", wanted.docs.join("benchmarks.md").display()));
    }
    Ok(())
}

/// Figures of one side, turn by turn.
#[derive(Debug, Clone, Default)]
struct Turns {
    rates: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Turns {
    fn add(&mut self, rate: f64, outcome: &crate::load::Outcome) {
        self.rates.push(rate);
        self.p50.push(outcome.p50_ms());
        self.p99.push(outcome.p99_ms());
    }

    fn rate(&self) -> Spread {
        Spread::of(&self.rates)
    }

    fn p99_ms(&self) -> f64 {
        Spread::of(&self.p99).median
    }

    /// A row with these figures, compared with nothing yet.
    fn row(&self, what: &str, unit: &str) -> Row {
        let latency = |values: &[f64]| (!values.is_empty()).then(|| Spread::of(values).median);
        Row {
            what: what.to_owned(),
            unit: unit.to_owned(),
            target: String::new(),
            ours: self.rate(),
            baseline: None,
            p50_ms: latency(&self.p50),
            p99_ms: latency(&self.p99),
            met: None,
        }
    }

    /// As what others are compared with.
    fn as_baseline_of(&self, ours: &Self, name: &str) -> Baseline {
        Baseline {
            name: name.to_owned(),
            figure: self.rate(),
            ratio: Spread::of_ratios(&ours.rates, &self.rates),
            p99_ms: (!self.p99.is_empty()).then(|| self.p99_ms()),
        }
    }
}
