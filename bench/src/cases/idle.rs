//! The cost of an idle stack.

use std::{collections::BTreeMap, fs, time::Instant};

use anyhow::Context as _;
use localstack::stack::Service;

use super::Case;
use crate::{
    database,
    results::{CaseResult, Row},
    run::Run,
    stage::Stage,
    statistics::{Spread, figure},
};

/// Limit for each service, percent of a core.
const SERVICE_PERCENT: f64 = 0.5;
/// Limit for each database, committed and rolled back.
const TRANSACTIONS_PER_S: f64 = 1.0;
/// A tick of the kernel's clock for processes, seconds (`getconf CLK_TCK`: 100 on Linux).
const TICK_S: f64 = 0.01;

pub(super) async fn measure(wanted: &Run) -> anyhow::Result<CaseResult> {
    let mut stage = Stage::start(wanted, Case::Idle, &[]).await?;
    let mut result = stage.result().await?;
    let mut watched = Vec::new();
    for service in Service::MESSAGING {
        watched.push((service.to_string(), stage.stack.process(service)?.pid()));
    }
    let row = stage.admin.query_one("SELECT pg_backend_pid()", &[]).await?;
    let session = u32::try_from(row.get::<_, i32>(0))?;
    let postmaster = Process::read(session).context("our own session has no process")?.parent;
    watched.push(("PostgreSQL".to_owned(), postmaster));
    watched.push(("RabbitMQ".to_owned(), stage.stack.rabbit()?.process().pid()));
    // Wait until the work that a start causes is over.
    tokio::time::sleep(stage.scale.idle).await;

    let mut percent: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut transactions: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for round in 1..=stage.scale.rounds {
        stage.report(&format!("round {round}: nothing happens for {:?}", stage.scale.idle));
        let cpu = |pid| cpu_s(pid);
        let (begun, cpu_before) = (Instant::now(), watched.iter().map(|(_, pid)| cpu(*pid)).collect::<Vec<_>>());
        let committed_before = committed(&stage).await?;
        tokio::time::sleep(stage.scale.idle).await;
        let committed_after = committed(&stage).await?;
        let took = begun.elapsed().as_secs_f64();
        for ((name, pid), before) in watched.iter().zip(cpu_before) {
            percent.entry(name).or_default().push((cpu(*pid) - before) / took * 100.0);
        }
        for (name, after) in committed_after {
            let before = committed_before.get(&name).copied().unwrap_or_default();
            transactions.entry(name).or_default().push(figure(after.saturating_sub(before)) / took);
        }
    }
    for (name, _) in &watched {
        let is_ours = Service::MESSAGING.iter().any(|service| service.to_string() == *name);
        let of = Spread::of(&percent[name.as_str()]);
        result.rows.push(row_of(name, "% of a core", of, is_ours.then_some(SERVICE_PERCENT)));
    }
    for (name, rates) in &transactions {
        let of = Spread::of(rates);
        result.rows.push(row_of(&format!("database {name}"), "transactions/s", of, Some(TRANSACTIONS_PER_S)));
    }
    result.notes.push(format!(
        "A stack of one replica each, a while after its start, over {:?} at a time: the CPU time of the processes \
         and their children, and the transactions that PostgreSQL counts as committed or rolled back.",
        stage.scale.idle
    ));
    stage.audit_services(&mut result).await?;
    stage.finish().await?;
    Ok(result)
}

fn row_of(what: &str, unit: &str, ours: Spread, most: Option<f64>) -> Row {
    Row {
        what: what.to_owned(),
        unit: unit.to_owned(),
        target: most.map(|most| format!("at most {most}")).unwrap_or_default(),
        met: most.map(|most| ours.median <= most),
        ours,
        baseline: None,
        p50_ms: None,
        p99_ms: None,
    }
}

/// Transactions of each service's database so far, committed or rolled back.
async fn committed(stage: &Stage) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut committed = BTreeMap::new();
    for service in Service::MESSAGING {
        let name = service.database();
        let sql = format!("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{name}'");
        committed.insert(name, database::number(&stage.admin, &sql).await?);
    }
    Ok(committed)
}

/// Fields of `/proc/<pid>/stat`.
struct Process {
    parent: u32,
    /// Ticks of the process and of its children that have ended.
    ticks: u64,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may contain anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

/// CPU time of a process and its descendants, seconds.
fn cpu_s(pid: u32) -> f64 {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: BTreeMap<u32, Process> = pids
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Process::read(pid)?)))
        .collect();
    let is_ours = |mut one: u32| {
        while one != pid {
            match all.get(&one) {
                Some(process) if process.parent > 1 => one = process.parent,
                _ => return false,
            }
        }
        true
    };
    all.iter().filter(|(one, _)| is_ours(**one)).map(|(_, process)| figure(process.ticks) * TICK_S).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_counts_its_own_work() {
        let pid = std::process::id();
        let before = cpu_s(pid);
        let mut sum = 0_u64;
        // Long enough for some ticks of the kernel's clock.
        while cpu_s(pid) < before + 3.0 * TICK_S {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(Process::read(pid).is_some_and(|process| process.parent > 0));
        assert!(cpu_s(u32::MAX).abs() < f64::EPSILON);
    }
}
