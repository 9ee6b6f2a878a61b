//! production-service: stores production requests, calls the factory until it has accepted each one or an operator
//! must decide, and announces the outcomes to the other services.
//!
//! | module | holds |
//! | --- | --- |
//! | [`app`], [`settings`] | composition root and settings |
//! | [`http`], [`amqp`], [`delivery`] | the edges: operators, messages, and calls to factories by the clock |
//! | [`commands`] | one file per command, each one transaction |
//! | [`domain`] | the rules, without clock or I/O |
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
