//! The measured cases.

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

/// A case, which is one section of the document.
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
    /// One operation at a time.
    EndToEnd,
    /// An idle stack.
    Idle,
    /// Large tables and long runs.
    Growth,
}

impl Case {
    /// All cases in the order of the document.
    pub const ALL: [Self; 7] =
        [Self::Intake, Self::Relay, Self::Receipts, Self::Delivery, Self::EndToEnd, Self::Idle, Self::Growth];

    /// Name on the command line.
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

    /// Heading in the document.
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

/// Runs the wanted cases, prints their results, and writes them.
pub async fn run(wanted: &Run) -> anyhow::Result<()> {
    let cases = if wanted.cases.is_empty() { Case::ALL.to_vec() } else { wanted.cases.clone() };
    let is_written = wanted.write || !wanted.quick;
    for case in cases {
        say(&format!("{}: starting a stack", case.title()));
        let mut result = case.measure(wanted).await?;
        if wanted.quick {
            // A few seconds are not enough to judge a target.
            result.rows.iter_mut().for_each(|row| row.met = None);
        }
        answer(&document::table(case, &result));
        if is_written {
            // Written after each case, so that a later failure does not lose the figures of this one.
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

/// The figures of one side, one per turn.
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

    /// A row with these figures and without a comparison.
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

    /// These figures as the baseline of others.
    fn as_baseline_of(&self, ours: &Self, name: &str) -> Baseline {
        Baseline {
            name: name.to_owned(),
            figure: self.rate(),
            ratio: Spread::of_ratios(&ours.rates, &self.rates),
            p99_ms: (!self.p99.is_empty()).then(|| self.p99_ms()),
        }
    }
}
