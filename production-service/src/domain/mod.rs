//! The rules, pure and synchronous: what is decided depends on the arguments alone.

mod factory;
mod request;
#[cfg(test)]
mod request_tests;
mod status;
mod verdict;

pub use factory::{Factory, FactorySettings, InvalidFactory};
pub use request::{Announcement, Arrival, Change, FACTORY_UNREACHABLE, Outcome, Rejection, Request, UNKNOWN_FACTORY};
pub use status::{Status, UnknownStatus};
pub use verdict::{Verdict, classify};
