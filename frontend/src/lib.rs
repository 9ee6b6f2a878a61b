//! frontend: serves the shop and the console, and stands between browsers and the services.
//!
//! | module | holds |
//! | --- | --- |
//! | [`site`] | the web application's files: embedded in their compressed forms, too, and who may have which |
//! | [`forward`] | the one table of routes that are handed on to services, and how |
//! | [`session`] | who has signed in: a sealed cookie, no memory |
//! | [`live`] | events from the broker to browsers; a slow browser slows nobody |
//! | `http` | the routes, and what every answer carries |
//!
//! It keeps nothing: any replica answers any request.

pub mod app;
pub mod forward;
mod http;
pub mod live;
pub mod session;
pub mod settings;
pub mod site;
