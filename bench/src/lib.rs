//! How fast Jaego is. Each case is measured in turns with its baselines in one run, on private servers that
//! keep what they confirm; each ends with the audit: what was answered is what is in the database.

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
pub mod results;
pub mod scale;
pub mod shop;
pub mod stage;
pub mod statistics;
