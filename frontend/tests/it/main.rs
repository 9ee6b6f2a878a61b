//! The frontend through its listeners: with a real broker, with stub services to provoke their behaviour, and with
//! the real sales-service for the whole.
#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod clients;
mod forwarding;
mod harness;
mod live;
mod pages;
mod process;
mod provider;
mod rude;
mod sales;
mod session;
mod upstream;
