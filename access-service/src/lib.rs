//! access-service: issues personal access tokens and sessions, says who holds them, and ends them.
//!
//! The other services ask it about each credential that it has issued ([`jaego_access`]), so what is ended here is
//! refused everywhere within seconds.

pub mod app;
mod commands;
mod domain;
mod http;
mod identity_provider;
mod programs;
mod seal;
pub mod settings;
mod store;
