//! Real infrastructure for tests and for the local stack: private PostgreSQL and RabbitMQ servers, their
//! databases, users and vhosts, links to them that can be cut, and child processes that can be killed and
//! stopped.
//!
//! Nothing here touches a server that it did not start: every instance has its own ports, data folder,
//! password and (for RabbitMQ) node name, cookie and epmd.

mod accounts;
pub mod certificates;
pub mod error;
pub mod harness;
pub mod http;
pub mod identity_provider;
pub mod keys;
pub mod lab;
pub mod link;
pub mod openapi;
pub mod process;
pub mod provision;
pub mod servers;
pub mod service;
pub mod tidy;

pub use error::{Error, Result};
pub use lab::{TestDatabase, TestVhost, is_alone, wait_until};
pub use link::LinkCutter;
pub use servers::shared::Lab;
