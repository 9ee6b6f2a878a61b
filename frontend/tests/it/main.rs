//! The frontend through its front doors: a real broker, tiny services where their behaviour must be provoked, and the
//! real sales-service where the whole must fit.
#![expect(clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod forwarding;
mod harness;
mod live;
mod pages;
mod process;
mod sales;
mod session;
mod upstream;
