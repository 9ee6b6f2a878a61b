//! Implementation of `cargo xtask up | down | reset | test | bench | dist | image`.

mod bench;
mod checks;
pub mod cli;
mod dist;
mod down;
mod git;
mod image;
pub mod node;
mod output;
pub mod python;
#[path = "../../bench/src/selection.rs"]
mod selection;
mod signals;
mod up;
pub mod web;
