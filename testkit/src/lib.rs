//! Real parts for tests and for the local stack: private PostgreSQL and RabbitMQ servers, the
//! databases, users and vhosts in them, links to them that can be cut, the factory simulator, and
//! child processes that can be killed and ended.
//!
//! Nothing here touches a server that it did not start: every instance has ports, a data folder,
//! a password and (for RabbitMQ) a node name, a cookie and an epmd of its own.

pub mod certificates;
pub mod error;
pub mod factory;
pub mod http;
pub mod keys;
pub mod lab;
pub mod link;
pub mod openapi;
pub mod process;
pub mod provision;
pub mod servers;
pub mod service;
pub mod smoke;
pub mod tidy;

pub use error::{Error, Result};
pub use factory::FactorySimulator;
pub use lab::{TestDatabase, TestVhost, is_alone, wait_until};
pub use link::LinkCutter;
pub use servers::shared::Lab;
