//! frontend: serves the shop and the console, and stands between browsers and the services.
//!
//! | module | holds |
//! | --- | --- |
//! | [`site`] | the web application's files with their compressed forms, and which of them the shop may serve |
//! | [`forward`] | the one table of routes that are forwarded to services, and the forwarding |
//! | [`session`] | sessions: a sealed cookie, no state in memory |
//! | [`live`] | events from the broker to browsers; a slow browser delays no other |
//! | `http` | routes and middleware |
//!
//! The program stores nothing: any replica answers any request.

pub mod app;
pub mod forward;
mod http;
pub mod live;
pub mod session;
pub mod settings;
pub mod site;
