//! Reliable messaging: a transactional outbox, a relay with pipelined confirms, consumers that retry from the
//! database, and dead letters that are redriven from there.

pub mod consumer;
pub mod dead_letters;
mod message;
pub mod outbox;
pub mod relay;
pub mod settings;
