//! RabbitMQ: the topology's table, connections, consumers.

pub mod connection;
pub mod consumer;
pub mod definitions;
mod retries;
pub mod topology;
