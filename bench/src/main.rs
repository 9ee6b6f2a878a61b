//! `jaego-bench`: see [`bench::cli`].

use std::process::ExitCode;

use bench::cli::{Cli, run};
use clap::Parser;

// The same allocator as in the services, so that it does not slow down a baseline.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse())
}
