//! The rules, pure and synchronous: fetched state, the clock and new ids come in as arguments, and changes come out
//! as data. Imports nothing but `std` and `jaego_contracts::ids`.

pub mod goods;
pub mod intake;
pub mod order;
pub mod policy;
pub mod product_state;
pub mod replenishment;
pub mod stock;

#[cfg(test)]
mod history_tests;
#[cfg(test)]
mod intake_tests;
#[cfg(test)]
mod names_tests;
