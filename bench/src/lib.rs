//! Benchmarks of Jaego. Each case is measured in alternating turns with its baselines in one run, on private servers
//! with durable settings. Each case ends with an audit: the database holds exactly what was answered.

pub mod baseline;
pub mod bounds;
pub mod cases;
pub mod ceiling;
pub mod charts;
pub mod cli;
pub mod database;
pub mod document;
pub mod load;
pub mod machine;
pub mod output;
pub mod results;
pub mod run;
pub mod scale;
pub mod selection;
pub mod shop;
pub mod stage;
pub mod statistics;
