//! RabbitMQ: the topology's table, connections, consumers.

pub mod connection;
pub mod consumer;
mod retries;
pub mod topology;
