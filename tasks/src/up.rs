//! `cargo xtask up`: from nothing to a shop that sells.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, anyhow};

use crate::output::{answer, shown};
use crate::signals::Signals;
use crate::web;
use localstack::programs::Programs;
use localstack::progress::{Progress, say};
use localstack::run_dir::{Note, RunDir};
use localstack::stack::{Options, ServerChoice, Service, Stack};
use localstack::{demo, packages, run_dir};

/// Interval at which the processes are checked.
const WATCH_EVERY: Duration = Duration::from_millis(250);

pub(crate) struct Wanted {
    pub(crate) dir: PathBuf,
    pub(crate) release: bool,
    pub(crate) detach: bool,
    pub(crate) programs: Option<PathBuf>,
    pub(crate) stage_ms: u64,
}

/// Starts the stack, then waits for a request to stop, or leaves the stack running.
pub(crate) async fn up(wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let Some(run_dir) = RunDir::lock(&wanted.dir)? else {
        say(&already_running(wanted));
        return Ok(ExitCode::FAILURE);
    };
    let running = run_dir::running(&wanted.dir);
    if !running.is_empty() && run_dir::read_note(&wanted.dir).is_some_and(|note| note.detached) {
        say(&already_running(wanted));
        if running.len() < run_dir::PROGRAMS {
            say(&format!("It is not complete: only {} still run; logs are in {}.", running.join(", "), logs(wanted)));
        }
        return Ok(ExitCode::FAILURE);
    }
    let signals = Signals::listen()?;
    let ended = tokio::select! {
        ended = start_and_wait(wanted, &run_dir, &signals) => ended,
        // Dropping the other future kills the processes that it started.
        () = signals.kill.cancelled() => Err(anyhow!("everything was killed; no confirmed data is lost")),
    };
    if ended.is_err() {
        run_dir.forget();
        if signals.stop.is_cancelled() && !signals.kill.is_cancelled() {
            say("     Stopped; nothing is left running.");
            return Ok(ExitCode::from(130));
        }
    }
    ended
}

async fn start_and_wait(wanted: &Wanted, run_dir: &RunDir, signals: &Signals) -> anyhow::Result<ExitCode> {
    let progress = Progress::new(signals.stop.clone());
    run_dir.stop_leftovers(&progress).await?;
    let mut note = Note { pid: std::process::id().cast_signed(), detached: false, urls: Vec::new() };
    run_dir.note(&note)?;

    let programs = packages::ensure(&progress).await?;
    let options = Options {
        dir: wanted.dir.clone(),
        programs: build(wanted, &progress).await?,
        servers: ServerChoice::Private(programs, &[]),
        stage_ms: wanted.stage_ms,
        settings: Vec::new(),
    };
    let mut stack = Stack::new(options)?;
    let has_pages = match ready(&mut stack, &progress).await {
        Ok(has_pages) => has_pages,
        Err(error) => {
            stack.stop(&progress).await?;
            return Err(error);
        }
    };
    note.urls = urls(&stack, has_pages);
    note.detached = wanted.detach;
    run_dir.note(&note)?;
    summary(&stack, wanted, &note.urls);
    if wanted.detach {
        stack.detach();
        return Ok(ExitCode::SUCCESS);
    }

    let died = watch(&mut stack, signals).await;
    if died.is_err() {
        progress.note("A program has ended unexpectedly; the others are stopped.");
    }
    let stopped = stack.stop(&progress).await;
    run_dir.forget();
    died?;
    stopped?;
    say("     All stopped; the data is kept. `cargo xtask up` continues with them.");
    Ok(ExitCode::SUCCESS)
}

async fn build(wanted: &Wanted, progress: &Progress) -> anyhow::Result<Programs> {
    if let Some(folder) = &wanted.programs {
        progress.note(format!("The programs in {} are used as they are", shown(folder)));
        return Programs::in_folder(&std::path::absolute(folder)?);
    }
    // First, because the frontend contains the pages.
    web::build_if_possible(progress).await?;
    if !wanted.release {
        // These were built together with this program, and read the pages from their folder.
        let here = std::env::current_exe().context("this program has no path")?;
        return Programs::in_folder(here.parent().context("this program is in no folder")?);
    }
    let mut step = progress.begin("Building the services (release build; the first one takes minutes)")?;
    step.without_spinner();
    let programs = Programs::build(true, &[], progress).await?;
    step.done("Services are built (release build)");
    Ok(programs)
}

/// Returns whether there are pages.
async fn ready(stack: &mut Stack, progress: &Progress) -> anyhow::Result<bool> {
    stack.start(progress).await?;
    let has_pages = stack.start_frontend(progress).await?;
    let step = progress.begin("Preparing the demo data")?;
    let added = demo::fill(stack).await.context("the demo data")?;
    step.done(match added {
        0 => "The demo data exists already".to_owned(),
        added => format!("Demo data: a factory and {added} products"),
    });
    let step = progress.begin("Writing the environment file")?;
    stack.write_env_file()?;
    step.done(format!("Wrote {}", shown(&stack.env_file())));
    Ok(has_pages)
}

/// Returns when a stop is requested. Fails when a process exits by itself.
async fn watch(stack: &mut Stack, signals: &Signals) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
        // The signal that requests the stop may have ended the children, too, which is not a failure.
        if !signals.stop.is_cancelled() {
            stack.check_alive()?;
        }
    }
}

/// The pages come first, because users look for them.
fn urls(stack: &Stack, has_pages: bool) -> Vec<String> {
    let frontend = stack.frontend_urls().api;
    let mut lines = if has_pages {
        vec![
            format!("{:<19} {frontend}", "shop"),
            format!("{:<19} {frontend}/console   (sign in with the operator token)", "console"),
        ]
    } else {
        vec![format!("{:<19} {frontend}   (without pages: they are not built)", "frontend")]
    };
    let services = Service::ALL.into_iter();
    lines.extend(
        services.map(|service| format!("{:<19} {}   (its API: /docs)", service.program(), stack.urls(service).api)),
    );
    lines.push(format!("{:<19} {}", "factory simulator", stack.factory_url()));
    lines
}

fn summary(stack: &Stack, wanted: &Wanted, urls: &[String]) {
    let (sales, production) = (stack.urls(Service::Sales).api, stack.urls(Service::Production).api);
    let token = stack.operator_token();
    let sku = demo::FIRST_SKU;
    let end = if wanted.detach {
        format!("It runs on its own. Stop it: cargo xtask down{}", place(wanted))
    } else {
        "Ctrl-C stops all of it; the data is kept.".to_owned()
    };
    answer(&format!(
        "\nJaego is up.\n\n  {urls}\n\n  operator token      {token}\n  logs                {logs}\n  for your shell      source {env}\n\n\
         Try (the fourth order of {sku} is refused; {wait} later the factory has made more):\n\n  \
         curl -s {sales}/api/v1/products\n\n  \
         curl -s {sales}/api/v1/orders -H 'Content-Type: application/json' -d '{{\"lines\":[{{\"sku\":\"{sku}\",\"quantity\":1}}]}}'\n\n  \
         curl -s {production}/api/v1/production-requests -H 'Authorization: Bearer {token}'\n\n{end}",
        urls = urls.join("\n  "),
        logs = logs(wanted),
        env = shown(&stack.env_file()),
        wait = lead_time(wanted.stage_ms),
    ));
}

fn lead_time(stage_ms: u64) -> String {
    let all_ms = stage_ms * u64::from(factory_simulator::STAGES);
    if all_ms < 1000 { format!("{all_ms} ms") } else { format!("{} s", all_ms / 1000) }
}

fn already_running(wanted: &Wanted) -> String {
    let dir = shown(&wanted.dir);
    let what = match run_dir::read_note(&wanted.dir) {
        Some(note) if note.urls.is_empty() => format!("{dir} (process {} is starting or stopping it)", note.pid),
        Some(Note { detached: true, urls, .. }) => format!("{dir} (detached):\n\n  {}\n", urls.join("\n  ")),
        Some(Note { pid, urls, .. }) => format!("{dir} (process {pid}):\n\n  {}\n", urls.join("\n  ")),
        None => dir,
    };
    format!(
        "A stack is already running in {what}\nNothing was changed. Stop it with: cargo xtask down{}",
        place(wanted)
    )
}

/// The `--dir` option, unless the folder is the default one.
fn place(wanted: &Wanted) -> String {
    if is_default(wanted) { String::new() } else { format!(" --dir {}", shown(&wanted.dir)) }
}

fn is_default(wanted: &Wanted) -> bool {
    wanted.dir == localstack::cargo::workspace_root().join("target/dev")
}

fn logs(wanted: &Wanted) -> String {
    shown(&wanted.dir.join("logs"))
}
