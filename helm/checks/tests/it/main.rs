//! The chart, rendered by the real Helm engine and checked against Kubernetes' schemas and against Jaego's own
//! guarantees. There is no API server: the programs that it would start are started as processes instead.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

mod brought;
mod documents;
mod engine;
mod entrances;
mod installed;
mod lifecycle;
mod network;
mod objects;
mod pods;
mod random;
mod refusals;
mod roles;
mod scans;
mod secrets;
mod steps;
mod used;
mod valid;
mod values;
