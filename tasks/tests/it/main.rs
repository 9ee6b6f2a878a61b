//! The commands that a newcomer types first, from the command line.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod bench;
mod commands;
