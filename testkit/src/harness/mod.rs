//! A service under test: its surroundings ([`World`]), the service itself, in the process of the test ([`Service`]) or
//! in one of its own ([`Replica`]), and its responses ([`Response`]).
//!
//! The tests of each service add to these what is particular to it, in their `harness.rs`.
#![expect(clippy::expect_used, clippy::panic, reason = "test support: a broken surrounding must stop the test")]

mod response;
mod rights;
mod service;
mod world;

use std::time::Duration;

pub use self::{
    response::Response,
    service::{Replica, Service},
    world::{Outage, World, connect},
};

/// Maximum wait for an effect: only a broken program takes this long.
pub const SOON: Duration = Duration::from_secs(120);

/// Value of the header `Authorization` for a token.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
