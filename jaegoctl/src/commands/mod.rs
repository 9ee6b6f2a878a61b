//! One file or folder per command.

pub(crate) mod audit;
pub(crate) mod database;
pub(crate) mod dlq;
pub(crate) mod factories;
pub(crate) mod help;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod migrate;
pub(crate) mod orders;
pub(crate) mod quarantine;
pub(crate) mod receipts;
pub(crate) mod replenishments;
pub(crate) mod requests;
pub(crate) mod sessions;
mod show;
pub(crate) mod status;
pub(crate) mod stock;
pub(crate) mod tokens;
pub(crate) mod topology;
