//! `cargo xtask`: see [`tasks::cli`].

use std::process::ExitCode;

use clap::Parser;
use tasks::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
