//! Against the whole of Jaego.

mod audit;
mod keys;
mod operations;
mod private_broker;
