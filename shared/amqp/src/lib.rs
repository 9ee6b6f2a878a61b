//! RabbitMQ: connections, health, and the permissions of users.

#![warn(missing_docs)]

pub mod connection;
pub mod health;
pub mod provision;
pub mod settings;
