//! Commands and arguments of `cargo xtask`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::image::ToolName;
use crate::selection::Selection;
use crate::{advisories, api_fuzz, bench, checks, dist, down, fuzz, image, up};
use localstack::cargo::workspace_root;
use localstack::progress;

/// Duration of each of the factory's four stages.
const STAGE_MS: u64 = factory_simulator::STAGE_MS_DEFAULT;

/// Run, test, measure and package Jaego.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start all of Jaego on this machine: private PostgreSQL and RabbitMQ, the factory simulator, the three
    /// services, the shop, the console and demo data. Ctrl-C stops it; the data is kept.
    Up(Up),
    /// Stop what `up` started, in this or another terminal.
    Down(Place),
    /// Stop what `up` started and delete its data.
    Reset(Reset),
    /// Run all checks: formatting, clippy, all tests, licences. With a filter, run only the matching tests.
    Test(Test),
    /// Run the fuzz targets, all at the same time. Needs a nightly toolchain and cargo-fuzz; without them the exit code
    /// is 3.
    Fuzz(Fuzz),
    /// Start all of Jaego and send each service requests that are generated from its OpenAPI document: each must get an
    /// answer that the document describes, and none a 5xx.
    ApiFuzz(ApiFuzz),
    /// Ask RustSec and npm for known vulnerabilities of what is used. The exit code is 1 if there is one, and 3 if a list
    /// cannot be read.
    Advisories,
    /// Run the benchmarks: release builds on private servers, each case alternating with its baseline. Writes
    /// docs/benchmarks.md.
    Bench(Bench),
    /// Build the programs for release into target/dist: static, checked, with bills of materials.
    Dist(Dist),
    /// Run `dist`, then build an image for each program with docker or buildah. Nothing is pulled.
    Image(Image),
}

#[derive(Debug, Args)]
struct Place {
    /// Folder for everything that the stack keeps [default: target/dev]
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
    /// Use release builds, which take minutes longer to compile but run faster.
    #[arg(long)]
    release: bool,
    /// Return when everything is ready and leave it running; `cargo xtask down` stops it.
    #[arg(long)]
    detach: bool,
    /// Use the programs in this folder instead of building them.
    #[arg(long, value_name = "FOLDER", conflicts_with = "release")]
    programs: Option<PathBuf>,
    /// Duration of each of the factory's four stages, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = STAGE_MS)]
    stage_ms: u64,
}

#[derive(Debug, Args)]
struct Reset {
    #[command(flatten)]
    place: Place,
    /// Do not ask for confirmation.
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
struct Fuzz {
    /// Time limit of each target, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u32,
    /// Run this target only.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

#[derive(Debug, Args)]
struct ApiFuzz {
    /// Time limit, for other requests in each run; default: the same requests in every run, for half a minute.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u32>,
}

#[derive(Debug, Args)]
struct Bench {
    #[command(flatten)]
    selection: Selection,
    /// Use the programs in this folder instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
    /// Folder for the data of servers and services, deleted before and after [default: target/bench]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Dist {
    /// Skip the bills of materials; the tool that writes them needs the network once.
    #[arg(long)]
    without_sbom: bool,
}

#[derive(Debug, Args)]
struct Image {
    #[command(flatten)]
    dist: Dist,
    /// Use the programs that are in target/dist already.
    #[arg(long, conflicts_with = "without_sbom")]
    no_dist: bool,
    /// Tool that builds the images [default: docker if its engine answers, otherwise buildah]
    #[arg(long, value_enum)]
    tool: Option<ToolName>,
    /// Registry and path in the images' names.
    #[arg(long, value_name = "NAME", default_value = "ghcr.io/jaego")]
    repository: String,
    /// Tag of the images.
    #[arg(long, value_name = "TAG", default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Run the images, too: each must print its version, and each service must become ready on private servers.
    #[arg(long)]
    check: bool,
}

pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let code = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => {
                let Up { place, release, detach, programs, stage_ms } = args;
                up::up(&up::Wanted { dir: place.absolute()?, release, detach, programs, stage_ms }).await
            }
            Command::Down(place) => down::down(&place.absolute()?).await,
            Command::Reset(args) => down::reset(&args.place.absolute()?, args.yes).await,
            Command::Test(args) => checks::test(&args.filter).await,
            Command::Fuzz(Fuzz { seconds, target }) => fuzz::run(&fuzz::Wanted { seconds, target }).await,
            Command::ApiFuzz(args) => api_fuzz::run(args.minutes).await,
            Command::Advisories => advisories::run().await,
            Command::Bench(args) => {
                let Bench { selection, programs, dir } = args;
                let dir = std::path::absolute(dir.unwrap_or_else(|| workspace_root().join("target/bench")))?;
                bench::bench(&bench::Wanted { selection, programs, dir }).await
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
