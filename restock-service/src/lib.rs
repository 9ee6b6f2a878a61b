//! restock-service: takes the Factory's callbacks, books goods receipts, and publishes them.
//!
//! A callback flows `http -> commands -> domain -> store + outbox`, in one transaction; a message of the broker flows
//! `amqp -> commands -> store`. Only [`domain`] decides.

mod amqp;
pub mod app;
mod commands;
mod domain;
mod http;
pub mod settings;
mod store;
