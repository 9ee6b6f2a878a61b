//! RabbitMQ: the topology's table, connections, consumers.

pub mod batch;
pub mod connection;
pub mod consumer;
pub mod definitions;
mod deliveries;
pub mod health;
mod letter;
mod properties;
pub mod provision;
mod retries;
pub mod topology;
