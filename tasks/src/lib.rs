//! Implementation of `cargo xtask`.

mod advisories;
pub mod api_fuzz;
mod bench;
mod checks;
pub mod cli;
mod dist;
mod down;
mod fuzz;
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
