//! A program of Jaego: its configuration, its telemetry, an ordered start and a bounded stop.

mod process;
mod program;
pub mod settings;

pub use process::{Loops, Process, Running};
pub use program::{
    Program, arguments, arguments_with, check_config, run_command, run_without_database, runtime, serve,
};
