//! The operators' command line. It works through the services' HTTP APIs, with an operator's token;
//! only what an API cannot do (topology, migrations, keys) goes to the broker, a database or files.
//!
//! A library, too, so that tests reach its parts.

mod api;
mod args;
mod ask;
mod broker;
pub mod cli;
mod commands;
mod connection;
mod failure;
mod http;
mod output;
mod service;
mod service_urls;
