//! Products, stock, orders, replenishment decisions, ledger.
//!
//! Data flows one way: [`http`] and [`amqp`] -> [`commands`] -> [`domain`] and [`store`].

// Some test files are shared with the integration tests, which refer to the crate by its name.
#[cfg(test)]
extern crate self as sales_service;

pub mod amqp;
pub mod app;
pub mod commands;
pub mod domain;
pub mod http;
pub mod settings;
pub mod store;
