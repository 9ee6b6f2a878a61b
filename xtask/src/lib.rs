//! What a person types: `cargo xtask up | down | reset | test | dist | image`. A library too, so that the
//! end-to-end tests start exactly the stack that `up` starts.

pub mod api;
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
mod run_dir;
mod signals;
pub mod stack;
mod up;
