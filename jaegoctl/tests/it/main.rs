//! The command line as a real process; against real services in `on_a_stack`.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod database;
mod dlq;
mod docs;
mod keys;
mod login;
mod migrate;
mod on_a_stack;
mod program;
mod stand_in;
mod topology;
mod usage;
