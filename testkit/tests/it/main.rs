//! The testkit against real servers and over real HTTP.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod factory;
mod lab;
mod processes;
mod servers;
