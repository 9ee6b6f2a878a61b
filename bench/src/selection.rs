//! The choice of cases and their length, as a person types it. `tasks` includes this file too, so that
//! `cargo xtask bench --help` answers before the benchmarks are built.

use clap::{Args, ValueEnum};

/// A benchmark that can be run alone. It is one section of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Orders.
    Intake,
    /// From the outbox to the broker.
    Relay,
    /// Callbacks of factories.
    Receipts,
    /// Requests to a factory.
    Delivery,
    /// From a refused order to the factory, and from its callback to stock.
    EndToEnd,
    /// An idle stack.
    Idle,
    /// Thousands of clients that never read, never send, or idle.
    Rude,
    /// With millions of orders stored, and over a longer time.
    Growth,
}

impl Case {
    /// Name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Relay => "relay",
            Self::Receipts => "receipts",
            Self::Delivery => "delivery",
            Self::EndToEnd => "end-to-end",
            Self::Idle => "idle",
            Self::Rude => "rude",
            Self::Growth => "growth",
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct Selection {
    /// Cases to run [default: all]
    #[arg(value_enum)]
    pub cases: Vec<Case>,
    /// Run each case for a few seconds only, to check that it works and that its audit passes. The results mean
    /// little and are not written down.
    #[arg(long)]
    pub quick: bool,
    /// Use tables of at most 1 million orders, not 10 million, and soak for 2 minutes instead of 10. Takes half
    /// an hour instead of two hours.
    #[arg(long, conflicts_with = "quick")]
    pub short: bool,
    /// Store this many orders before audits are measured, instead of as many as the largest table has.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub orders: Option<u64>,
    /// Write down the results of a quick run as well.
    #[arg(long)]
    pub write: bool,
}
