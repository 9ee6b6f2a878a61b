//! Against the whole of Jaego.

mod audit;
mod operations;
mod private_broker;
