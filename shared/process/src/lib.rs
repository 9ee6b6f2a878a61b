//! A program of Jaego: configured, seen, started in order and stopped within bounds.

mod process;
mod program;
pub mod settings;

pub use process::{Loops, Process, Running};
pub use program::{Program, check_config, run_command, run_without_database, runtime, serve};
