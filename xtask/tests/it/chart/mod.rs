//! The chart: rendered by the real Helm engine, and what comes out held against Kubernetes' schemas
//! and against what Jaego promises. No API server is at hand: what it would start is started as processes instead.

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
