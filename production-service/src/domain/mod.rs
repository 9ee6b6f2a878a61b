//! Business rules, pure and synchronous: every decision depends on its arguments alone.

mod breaker;
#[cfg(test)]
mod breaker_tests;
mod factory;
mod lead_time;
mod outcome;
mod request;
#[cfg(test)]
mod request_tests;
mod status;
mod verdict;

pub use self::breaker::{Breaker, BreakerRules, Position, Tally, Wanting, share_out};
pub use self::factory::{Factory, FactorySettings, InvalidFactory};
pub use self::lead_time::LeadTime;
pub use self::outcome::OutcomeKind;
pub use self::request::{
    Announcement, Arrival, AttemptResult, FACTORY_THROTTLED, FACTORY_UNREACHABLE, Fallback, Options,
    REFUSED_AFTER_UNKNOWN, Rejection, Request, RequestChange, UNKNOWN_FACTORY,
};
pub use self::status::{Status, UnknownStatus};
pub use self::verdict::{Ending, Health, Verdict};
