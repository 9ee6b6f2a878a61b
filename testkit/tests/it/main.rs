//! The testkit against real servers and over real HTTP.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod lab;
mod link;
mod processes;
mod servers;
mod tls;
