//! The operators' command line. It uses the services' HTTP APIs, with an operator's token; only what an API
//! cannot do (topology, migrations, keys) goes to the broker, a database or files.
//!
//! It is also a library, so that tests can reach its parts.

mod api;
mod args;
mod ask;
mod broker;
pub mod cli;
mod commands;
mod connection;
mod failure;
mod http;
mod kept_session;
mod output;
mod service;
mod service_urls;
