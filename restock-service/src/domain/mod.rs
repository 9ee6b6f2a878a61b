//! What a callback means: pure and synchronous. Clock, ids and rows come in as arguments.

pub(crate) mod decision;
pub(crate) mod delivery;
pub(crate) mod policy;
#[cfg(test)]
mod property_tests;
