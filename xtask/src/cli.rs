//! The commands and their arguments.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    bench::{self, Case},
    cargo::workspace_root,
    checks, dist, down,
    image::{self, ToolName},
    progress, up,
};

/// The time that each of the Factory's four stages takes.
const STAGE_MS: u64 = testkit::factory::STAGE_MS_DEFAULT;

/// Everything that is done to this repository from a terminal.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the whole of Jaego on this machine: private PostgreSQL and RabbitMQ, the factory
    /// simulator, the three services, the shop and the console, demo data. Ctrl-C stops it; the data stay.
    Up(Up),
    /// Stop what `up` started, wherever it runs.
    Down(Place),
    /// Stop it and delete its data.
    Reset(Reset),
    /// Check everything: formatting, clippy, all tests, licences. With a filter: only those tests.
    Test(Test),
    /// Measure how fast it is: release builds on private servers, each case in turns with what it is compared
    /// with. Writes docs/benchmarks.md.
    Bench(Bench),
    /// Build the programs that are shipped: static, checked, with bills of materials, in target/dist.
    Dist(Dist),
    /// Build `dist`, and from it an image for each program, with docker or buildah. Nothing is pulled.
    Image(Image),
}

#[derive(Debug, Args)]
struct Place {
    /// Where the stack keeps everything [default: target/dev]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

impl Place {
    fn absolute(&self) -> anyhow::Result<PathBuf> {
        let dir = self.dir.clone().unwrap_or_else(|| workspace_root().join("target/dev"));
        Ok(std::path::absolute(dir)?)
    }
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    place: Place,
    /// Debug builds: quicker to compile, slower to run.
    #[arg(long)]
    dev: bool,
    /// Return when everything is ready, and leave it running; `cargo xtask down` stops it.
    #[arg(long)]
    detach: bool,
    /// Use the programs in this folder instead of building them.
    #[arg(long, value_name = "FOLDER", conflicts_with = "dev")]
    programs: Option<PathBuf>,
    /// How long each of the factory's four stages takes, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = STAGE_MS)]
    stage_ms: u64,
}

#[derive(Debug, Args)]
struct Reset {
    #[command(flatten)]
    place: Place,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct Test {
    /// Names of tests, or options of cargo-nextest: only matching tests are run.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILTER")]
    filter: Vec<String>,
}

#[derive(Debug, Args)]
struct Bench {
    /// What to measure [default: everything]
    #[arg(value_enum)]
    cases: Vec<Case>,
    /// A few seconds for each case, to see that it runs and that the books agree. The figures mean little, and
    /// are not written down.
    #[arg(long)]
    quick: bool,
    /// Tables of a million orders at the most, not ten, and two minutes of soak, not ten: half an hour instead of two.
    #[arg(long, conflicts_with = "quick")]
    short: bool,
    /// Write the figures of a quick run down, too.
    #[arg(long)]
    write: bool,
    /// Use the programs in this folder instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Where servers and services keep everything; it is deleted before and after [default: target/bench]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Dist {
    /// No bills of materials: the tool that writes them needs the network once.
    #[arg(long)]
    without_sbom: bool,
}

#[derive(Debug, Args)]
struct Image {
    #[command(flatten)]
    dist: Dist,
    /// Take the programs that are in target/dist already.
    #[arg(long, conflicts_with = "without_sbom")]
    no_dist: bool,
    /// What builds them [default: docker when its engine answers, otherwise buildah]
    #[arg(long, value_enum)]
    tool: Option<ToolName>,
    /// The registry and folder in the images' names.
    #[arg(long, value_name = "NAME", default_value = "ghcr.io/jaego")]
    repository: String,
    /// Their tag.
    #[arg(long, value_name = "TAG", default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Run them, too: each tells its version, and each service must become ready on private servers.
    #[arg(long)]
    check: bool,
}

/// Runs one command.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => {
                let Up { place, dev, detach, programs, stage_ms } = args;
                up::up(&up::Wanted { dir: place.absolute()?, dev, detach, programs, stage_ms }).await
            }
            Command::Down(place) => down::down(&place.absolute()?).await,
            Command::Reset(args) => down::reset(&args.place.absolute()?, args.yes).await,
            Command::Test(args) => checks::test(&args.filter).await,
            Command::Bench(args) => {
                let Bench { cases, quick, short, write, programs, dir } = args;
                let dir = std::path::absolute(dir.unwrap_or_else(|| workspace_root().join("target/bench")))?;
                bench::bench(&bench::Wanted { cases, quick, short, write, programs, dir }).await
            }
            Command::Dist(args) => dist::run(!args.without_sbom).await,
            Command::Image(args) => {
                let Image { dist, no_dist, tool, repository, tag, check } = args;
                let wanted = image::Wanted { sbom: !dist.without_sbom, no_dist, tool, repository, tag, check };
                image::run(&wanted).await
            }
        }
    });
    code.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    progress::say(&format!("error: {error:#}"));
    ExitCode::FAILURE
}

/// A path as a person would type it: relative to where they are, when it is below.
pub(crate) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// Writes to standard output; a reader that has gone away is no failure.
pub(crate) fn answer(text: &str) {
    writeln!(std::io::stdout(), "{text}").ok();
}
