//! access-service through its listeners, against real PostgreSQL, with another service that asks it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod away;
mod document;
mod harness;
mod imports;
mod internal;
mod provider;
mod replicas;
mod schema;
mod sessions;
mod tokens;
