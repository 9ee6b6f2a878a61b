//! The whole of Jaego as real processes on real servers: the main job, crashes in the middle of it,
//! and the commands that a newcomer types first.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod api_client;
mod bench;
mod browser;
mod chart;
mod commands;
mod crashes;
mod faults;
mod harness;
mod lost;
mod main_job;
mod poison;
mod smoke;
mod structure;
mod traffic;
