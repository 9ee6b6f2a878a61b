//! Sizes of the cases: for real figures, or only to check that everything runs.

use std::time::Duration;

use crate::selection::Selection;

#[derive(Debug, Clone)]
pub struct Scale {
    /// The command line options that select it.
    pub options: String,
    /// True if the figures are meaningful.
    pub is_full: bool,
    /// Number of turns for each side.
    pub rounds: usize,
    /// Duration of the load in one turn.
    pub measure: Duration,
    /// Duration of the load before a turn, which is not measured.
    pub warm_up: Duration,
    /// Connections of the load generator.
    pub connections: &'static [usize],
    /// Pool sizes to try for the baseline.
    pub pools: &'static [usize],
    /// Number of products in the case with many.
    pub products: usize,
    /// Orders stored at each step of a growing table.
    pub growing: &'static [u64],
    /// Keys that are sent again after each turn.
    pub keys_again: usize,
    /// Events in the burst for the relay.
    pub burst: u64,
    /// Events that the baseline of the relay publishes.
    pub one_by_one: u64,
    /// Callbacks prepared for each second of load.
    pub callbacks: u64,
    /// Production requests of the case Delivery.
    pub requests: u64,
    /// Samples on an idle system.
    pub samples: usize,
    /// Duration of the idle case.
    pub idle: Duration,
    /// Orders stored at each step of growth.
    pub stored: &'static [u64],
    /// Orders stored while audits run.
    pub audited: u64,
    /// Lines that one receipt fills.
    pub waiting: u64,
    /// Duration of the surge, seconds.
    pub surge: usize,
    /// Duration of the soak at full load.
    pub soak: Duration,
}

impl Scale {
    pub fn of(selection: &Selection) -> Self {
        let mut scale = match (selection.quick, selection.short) {
            (true, _) => Self::quick(),
            (_, true) => Self::short(),
            _ => Self::full(),
        };
        if let Some(orders) = selection.orders {
            scale.audited = orders;
            scale.options = format!("{} --orders {orders}", scale.options);
        }
        scale
    }

    /// Full size.
    fn full() -> Self {
        Self {
            options: String::new(),
            is_full: true,
            rounds: 3,
            measure: Duration::from_secs(6),
            warm_up: Duration::from_secs(2),
            connections: &[64, 256],
            pools: &[4, 8, 16, 32],
            products: 1000,
            growing: &[0, 1_000_000, 2_500_000, 5_000_000],
            keys_again: 200,
            burst: 100_000,
            one_by_one: 5_000,
            callbacks: 20_000,
            requests: 20_000,
            samples: 200,
            idle: Duration::from_secs(20),
            stored: &[0, 1_000_000, 10_000_000],
            audited: 10_000_000,
            waiting: 1_000_000,
            surge: 15,
            soak: Duration::from_secs(600),
        }
    }

    /// Full figures within half an hour: without the tables of many millions and the long soak.
    fn short() -> Self {
        Self {
            options: " --short".to_owned(),
            growing: &[0, 1_000_000],
            stored: &[0, 1_000_000],
            audited: 1_000_000,
            soak: Duration::from_secs(120),
            ..Self::full()
        }
    }

    /// Only to check that everything runs.
    fn quick() -> Self {
        Self {
            options: " --quick".to_owned(),
            is_full: false,
            rounds: 1,
            measure: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            connections: &[16],
            pools: &[16],
            products: 100,
            growing: &[2_000],
            keys_again: 20,
            burst: 1_000,
            one_by_one: 200,
            callbacks: 500,
            requests: 200,
            samples: 5,
            idle: Duration::from_secs(2),
            stored: &[2_000],
            audited: 2_000,
            waiting: 5_000,
            surge: 3,
            soak: Duration::from_secs(2),
        }
    }
}
