//! `jaegoctl`: see [`jaegoctl::cli`].

use std::process::ExitCode;

use clap::Parser;
use jaegoctl::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}
