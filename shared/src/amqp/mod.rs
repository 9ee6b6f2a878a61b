//! RabbitMQ: the topology's table, connections, consumers.

pub mod connection;
pub mod consumer;
pub mod definitions;
pub mod health;
mod letter;
mod retries;
pub mod topology;
