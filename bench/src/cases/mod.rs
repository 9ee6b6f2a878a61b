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
mod rude;

use clap::ValueEnum as _;

use crate::{
    document::{self, title},
    output::{answer, say},
    results::{Baseline, CaseResult, Results, Row},
    run::Run,
    selection::{Case, Selection},
    statistics::Spread,
};

async fn measure(case: Case, wanted: &Run) -> anyhow::Result<CaseResult> {
    match case {
        Case::Intake => intake::measure(wanted).await,
        Case::Relay => relay::measure(wanted).await,
        Case::Receipts => receipts::measure(wanted).await,
        Case::Delivery => delivery::measure(wanted).await,
        Case::EndToEnd => end_to_end::measure(wanted).await,
        Case::Idle => idle::measure(wanted).await,
        Case::Rude => rude::measure(wanted).await,
        Case::Growth => growth::measure(wanted).await,
    }
}

/// Runs the selected cases, prints their results, and writes them.
pub async fn run(wanted: &Run) -> anyhow::Result<()> {
    let Selection { cases, quick, write, .. } = &wanted.selection;
    let cases = if cases.is_empty() { Case::value_variants() } else { cases };
    let is_written = *write || !quick;
    for &case in cases {
        say(&format!("{}: starting a stack", title(case)));
        let mut result = measure(case, wanted).await?;
        if *quick {
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
