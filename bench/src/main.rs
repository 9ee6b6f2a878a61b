//! `jaego-bench`: see [`bench::cli`].

use std::process::ExitCode;

use bench::cli::{Cli, run};
use clap::Parser;

// As the services have it, so that a baseline is not slower for its allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse())
}
