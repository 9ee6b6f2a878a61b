//! Writes `docs/benchmarks.md` with its charts, and the table for the terminal.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

use crate::{
    charts,
    output::number,
    results::{CaseResult, Results, Row},
    selection::Case,
    statistics::Spread,
};

const HEAD: &str = "# Benchmarks

Made by `cargo xtask bench` (one case alone: `cargo xtask bench intake`); what bounds each path, and what was tried, is \
in [performance.md](performance.md). Each case runs on a stack of its own: release builds, private PostgreSQL and \
RabbitMQ on this machine, which keep what they confirm. Load comes from [wrk](https://github.com/wg/wrk) (closed loop, \
corrected for coordinated omission), which shares the cores with everything that it measures.

A case and its baselines take turns (A B A B ..) within one run. Figures are medians of the turns, with the lowest and \
the highest; a ratio is of neighbouring turns. Before each turn the outbox is empty, PostgreSQL has made a checkpoint \
and vacuums nothing; the first two seconds under load do not count. Each case ends with the audit: what was answered is \
what is in the database. A latency is the median of those of the turns.
";

/// The results of the browser tests: a section written by hand, in this file of the charts' folder.
const PAGES: &str = "pages.md";

/// Heading of a case.
pub const fn title(case: Case) -> &'static str {
    match case {
        Case::Intake => "Intake of orders",
        Case::Relay => "Relay of events",
        Case::Receipts => "Receipts of goods",
        Case::Delivery => "Delivery to a factory",
        Case::EndToEnd => "End to end, idle",
        Case::Idle => "An idle stack",
        Case::Rude => "Rude clients",
        Case::Growth => "Growth",
    }
}

/// Writes all known results.
pub fn write(results: &Results, docs: &Path) -> anyhow::Result<()> {
    let folder = docs.join("benchmarks");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    results.write(&folder.join("results.json"))?;
    let mut text = HEAD.to_owned();
    for (case, result) in results.in_order() {
        text.push('\n');
        text.push_str(&section(case, result));
        for (name, svg) in all_charts(case, result) {
            fs::write(folder.join(&name), svg).with_context(|| format!("cannot write {name}"))?;
        }
    }
    if let Ok(pages) = fs::read_to_string(folder.join(PAGES)) {
        text.push('\n');
        text.push_str(&pages);
    }
    let path = docs.join("benchmarks.md");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The charts of a case, with their file names.
fn all_charts(case: Case, result: &CaseResult) -> Vec<(String, String)> {
    let mut units: Vec<&str> = result.rows.iter().map(|row| row.unit.as_str()).collect();
    units.dedup();
    let mut seen = Vec::new();
    units.retain(|unit| {
        !seen.contains(unit) && {
            seen.push(unit);
            true
        }
    });
    let mut charts = Vec::new();
    for (place, unit) in units.into_iter().enumerate() {
        let rows: Vec<&Row> = result.rows.iter().filter(|row| row.unit == unit).collect();
        let heading = format!("{}, {unit}", title(case));
        charts.push((format!("{}-{}.svg", case.name(), place + 1), charts::bars(&heading, &rows)));
    }
    for (place, line) in result.lines.iter().enumerate() {
        charts.push((format!("{}-line-{}.svg", case.name(), place + 1), charts::line(line)));
    }
    charts
}

/// The section of a case.
fn section(case: Case, result: &CaseResult) -> String {
    let machine = &result.machine;
    let mut text = format!(
        "## {}\n\n`{}`, {} on {} cores ({}), {} GiB; {} build; PostgreSQL {} ({}), RabbitMQ {}.\n\n",
        title(case),
        result.command,
        result.at,
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.build,
        machine.postgres,
        machine.postgres_settings,
        machine.rabbitmq,
    );
    text.push_str("| what | target | measured | compared with | ratio | p50 / p99 ms | met |\n| --- | --- | --- | --- | --- | --- | --- |\n");
    for row in &result.rows {
        // Writing to a string cannot fail.
        writeln!(text, "| {} |", cells(row).join(" | ")).ok();
    }
    for (name, _) in all_charts(case, result) {
        write!(text, "\n![{}](benchmarks/{name})\n", title(case)).ok();
    }
    for (heading, items) in [("", &result.notes), ("Audit:\n\n", &result.audit)] {
        if !items.is_empty() {
            write!(text, "\n{heading}- {}\n", items.join("\n- ")).ok();
        }
    }
    text
}

fn cells(row: &Row) -> [String; 7] {
    let unit = &row.unit;
    let baseline = row.baseline.as_ref();
    let with_theirs = |ms: Option<f64>| ms.map_or_else(String::new, |ms| format!(" (theirs: p99 {ms:.1})"));
    [
        row.what.clone(),
        row.target.clone(),
        format!("{} {unit}", spread(&row.ours)),
        baseline.map_or_else(String::new, |other| format!("{}: {} {unit}", other.name, spread(&other.figure))),
        baseline.map_or_else(String::new, |other| format!("{}x", ratio(&other.ratio))),
        match (row.p50_ms, row.p99_ms) {
            (Some(p50), Some(p99)) => {
                format!("{p50:.1} / {p99:.1}{}", with_theirs(baseline.and_then(|other| other.p99_ms)))
            }
            _ => String::new(),
        },
        match row.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        }
        .to_owned(),
    ]
}

/// The results of a case for the terminal.
pub fn table(case: Case, result: &CaseResult) -> String {
    let mut text = format!("\n{}\n", title(case));
    let rows: Vec<[String; 7]> = result.rows.iter().map(cells).collect();
    let shown = [0, 2, 4, 5, 1, 6];
    let widths = shown.map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    for row in &rows {
        let cells = shown.iter().zip(widths).map(|(column, width)| format!("{:<width$}", row[*column]));
        writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end()).ok();
        if !row[3].is_empty() {
            writeln!(text, "    {}", row[3]).ok();
        }
    }
    for line in &result.audit {
        writeln!(text, "  audit: {line}").ok();
    }
    text
}

fn spread(figure: &Spread) -> String {
    format!("{} ({}..{})", number(figure.median), number(figure.min), number(figure.max))
}

fn ratio(figure: &Spread) -> String {
    format!("{:.2} ({:.2}..{:.2})", figure.median, figure.min, figure.max)
}
