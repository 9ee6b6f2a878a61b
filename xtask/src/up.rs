//! `cargo xtask up`: everything from nothing to a shop that sells.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, anyhow};

use crate::{
    cli::{answer, shown},
    demo, packages,
    programs::Programs,
    progress::{Progress, say},
    run_dir::{self, Note, RunDir},
    signals::Signals,
    stack::{Options, ServerChoice, Service, Stack},
    web,
};

/// How often it is looked whether everything still runs.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// What was asked for.
pub(crate) struct Wanted {
    pub(crate) dir: PathBuf,
    pub(crate) dev: bool,
    pub(crate) detach: bool,
    pub(crate) programs: Option<PathBuf>,
    pub(crate) stage_ms: u64,
}

/// Starts the stack, then waits for the end, or leaves it running.
pub(crate) async fn up(wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let Some(run_dir) = RunDir::lock(&wanted.dir)? else {
        say(&already_running(wanted));
        return Ok(ExitCode::FAILURE);
    };
    let running = run_dir::running(&wanted.dir);
    if !running.is_empty() && run_dir::read_note(&wanted.dir).is_some_and(|note| note.detached) {
        say(&already_running(wanted));
        if running.len() < run_dir::PROGRAMS {
            say(&format!("Not all of it: only {} still run; logs are in {}.", running.join(", "), logs(wanted)));
        }
        return Ok(ExitCode::FAILURE);
    }
    let signals = Signals::listen()?;
    let ended = tokio::select! {
        ended = start_and_wait(wanted, &run_dir, &signals) => ended,
        // Dropping the other future kills what it had started.
        () = signals.kill.cancelled() => Err(anyhow!("everything was killed; no data that were confirmed are lost")),
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
        progress.note("A program has ended unasked; the others are stopped.");
    }
    let stopped = stack.stop(&progress).await;
    run_dir.forget();
    died?;
    stopped?;
    say("     All stopped; the data stay. `cargo xtask up` continues with them.");
    Ok(ExitCode::SUCCESS)
}

async fn build(wanted: &Wanted, progress: &Progress) -> anyhow::Result<Programs> {
    if let Some(folder) = &wanted.programs {
        progress.note(format!("The programs in {} are used as they are", shown(folder)));
        return Programs::in_folder(&std::path::absolute(folder)?);
    }
    // First, because the frontend holds the pages.
    web::build_if_possible(progress).await?;
    let kind = if wanted.dev { "debug" } else { "release" };
    let mut step = progress.begin(format!("Building the services ({kind} build; the first one takes minutes)"))?;
    step.without_spinner();
    let programs = Programs::build(!wanted.dev, &[], progress).await?;
    step.done(format!("Services are built ({kind} build)"));
    Ok(programs)
}

/// Answers whether there are pages.
async fn ready(stack: &mut Stack, progress: &Progress) -> anyhow::Result<bool> {
    stack.start(progress).await?;
    let has_pages = stack.start_frontend(progress).await?;
    let step = progress.begin("Looking after the demo data")?;
    let added = demo::fill(stack).await.context("the demo data")?;
    step.done(match added {
        0 => "Demo data are there already".to_owned(),
        added => format!("Demo data: a factory and {added} products"),
    });
    let step = progress.begin("Writing the environment file")?;
    stack.write_env_file()?;
    step.done(format!("Wrote {}", shown(&stack.env_file())));
    Ok(has_pages)
}

/// Until somebody asks to stop: fine. Until a process ends by itself: an error.
async fn watch(stack: &mut Stack, signals: &Signals) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
        // Whoever asks to stop may have ended children too: that is no accident.
        if !signals.stop.is_cancelled() {
            stack.check_alive()?;
        }
    }
}

/// Pages first: that is what people look for.
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
        "Ctrl-C stops all of it; the data stay.".to_owned()
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
    let all_ms = stage_ms * u64::from(testkit::factory::STAGES);
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
        "A stack is running already in {what}\nNothing was touched. Stop it with: cargo xtask down{}",
        place(wanted)
    )
}

/// The option that names the folder, when it must be named.
fn place(wanted: &Wanted) -> String {
    if is_default(wanted) { String::new() } else { format!(" --dir {}", shown(&wanted.dir)) }
}

fn is_default(wanted: &Wanted) -> bool {
    wanted.dir == crate::cargo::workspace_root().join("target/dev")
}

fn logs(wanted: &Wanted) -> String {
    shown(&wanted.dir.join("logs"))
}
