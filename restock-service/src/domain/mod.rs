//! The meaning of a callback, and the actions open to an operator: pure and synchronous. Clock, ids and rows come in
//! as arguments.

pub(crate) mod batch;
#[cfg(test)]
mod batch_tests;
pub(crate) mod decision;
pub(crate) mod delivery;
pub(crate) mod judgement;
pub(crate) mod policy;
#[cfg(test)]
mod property_tests;
