//! What a person types: `cargo xtask up | down | reset | test | bench | dist | image`. A library too, so
//! that the end-to-end tests and the benchmarks start exactly the stack that `up` starts.

pub mod api;
mod bench;
mod cargo;
mod checks;
pub mod cli;
pub mod demo;
mod dist;
mod down;
mod git;
mod image;
pub mod leftovers;
pub mod node;
pub mod packages;
pub mod programs;
pub mod progress;
pub mod python;
pub mod run_dir;
mod signals;
pub mod stack;
mod up;
pub mod web;
