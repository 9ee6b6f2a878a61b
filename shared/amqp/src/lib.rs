//! RabbitMQ: how it is reached, whether it is there, and who may do what on it.

#![warn(missing_docs)]

pub mod connection;
pub mod health;
pub mod provision;
pub mod settings;
