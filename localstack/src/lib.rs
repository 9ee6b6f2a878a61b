//! All of Jaego on one machine: private servers, a simulated factory, the services and the frontend, as real
//! processes. `cargo xtask up`, the end-to-end tests and the benchmarks start it.

pub mod api;
pub mod cargo;
pub mod demo;
pub mod leftovers;
pub mod packages;
pub mod programs;
pub mod progress;
pub mod run_dir;
pub mod stack;
