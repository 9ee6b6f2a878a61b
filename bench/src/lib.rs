//! Benchmarks of Jaego. A case and its baseline take turns within one run. All run on private servers with durable
//! settings. Each case ends with an audit: everything that was answered is in the database.

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
