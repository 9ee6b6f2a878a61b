//! Tests against a complete Jaego.

mod audit;
mod dlq;
mod keys;
mod operations;
mod private_broker;
mod unreachable;
