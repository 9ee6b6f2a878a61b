//! Products, stock, orders, replenishment decisions, ledger.
//!
//! Data flows one way: [`http`] and [`amqp`] -> [`commands`] -> [`domain`] and [`store`].

pub mod amqp;
pub mod app;
pub mod commands;
pub mod domain;
pub mod http;
pub mod settings;
pub mod store;
