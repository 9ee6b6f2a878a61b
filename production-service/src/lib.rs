//! production-service: keeps production requests, calls the Factory until it has taken each one or
//! a person must look, and tells the other services what became of it.
//!
//! | module | holds |
//! | --- | --- |
//! | [`app`], [`settings`] | how the parts are put together and set |
//! | [`http`], [`amqp`], [`delivery`] | the edges: operators, messages, the clock and the Factory |
//! | [`commands`] | one file for each thing that can be done, each one transaction |
//! | [`domain`] | the rules, without a clock or a socket |
//! | [`store`] | the service's own tables |
//!
//! Imports go one way: `http, amqp, delivery -> commands -> {domain, store}`, `store -> domain`.

pub mod amqp;
pub mod app;
pub mod commands;
pub mod delivery;
pub mod domain;
pub mod http;
pub mod settings;
pub mod store;
