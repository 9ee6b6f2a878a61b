//! Compares what each service's books say was received; pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;
use serde_json::Value;

/// Units received by product, according to one service's books.
pub(super) type Received = BTreeMap<String, i64>;

/// Parses `totals` of an audit report: `[{sku, received, ..}]`.
pub(super) fn received(report: &Value) -> Result<Received, String> {
    let totals = report["totals"].as_array().ok_or("the audit has no list `totals`")?;
    let mut received = Received::new();
    for total in totals {
        let (Some(sku), Some(units)) = (total["sku"].as_str(), total["received"].as_i64()) else {
            return Err(format!("no `sku` and whole number `received` in {total}"));
        };
        let sum = received.entry(sku.to_owned()).or_default();
        *sum = sum.checked_add(units).ok_or_else(|| format!("more than can be counted of {sku}"))?;
    }
    Ok(received)
}

/// Consumers of restock-service's receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hearer {
    /// sales-service, which adds them to stock.
    Sales,
    /// production-service, which ends its attempts.
    Production,
}

/// One product's units in all books.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    /// Booked by restock-service.
    restock: i64,
    /// Applied by sales-service.
    sales: i64,
    /// Seen by production-service.
    production: i64,
}

impl Figures {
    /// Units that the hearer has beyond those booked; negative when some are missing.
    fn excess(self, hearer: Hearer) -> i64 {
        let heard = match hearer {
            Hearer::Sales => self.sales,
            Hearer::Production => self.production,
        };
        heard.saturating_sub(self.restock)
    }
}

/// The books of all services, queried at about the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Books {
    pub(super) restock: Received,
    pub(super) sales: Received,
    pub(super) production: Received,
}

impl Books {
    /// Every product in any of the books.
    pub(super) fn skus(&self) -> BTreeSet<&str> {
        [&self.restock, &self.sales, &self.production]
            .into_iter()
            .flat_map(BTreeMap::keys)
            .map(String::as_str)
            .collect()
    }

    fn figures(&self, sku: &str) -> Figures {
        let of = |books: &Received| books.get(sku).copied().unwrap_or_default();
        Figures { restock: of(&self.restock), sales: of(&self.sales), production: of(&self.production) }
    }
}

/// A product whose books do not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) sku: String,
    #[serde(flatten)]
    figures: Figures,
    /// The figures changed while they were watched, and the difference remained.
    changing: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sku, figures, changing } = self;
        let off = |hearer| match figures.excess(hearer) {
            0 => String::new(),
            missing @ ..0 => format!(" ({} missing)", missing.unsigned_abs()),
            excess => format!(" ({excess} too many)"),
        };
        let (sales, production) = (off(Hearer::Sales), off(Hearer::Production));
        write!(
            formatter,
            "{sku}: restock booked {}, sales applied {}{sales}, production saw {}{production}",
            figures.restock, figures.sales, figures.production
        )?;
        if *changing { write!(formatter, "; receipts are still coming in") } else { Ok(()) }
    }
}

/// Compares the books over several rounds. A difference that is gone in one of them, or changes sign, was a
/// message in flight; one that remains in every round is reported.
#[derive(Debug, Default)]
pub(super) struct Watch {
    first: Option<Books>,
    last: Books,
    staying: BTreeMap<(String, Hearer), i64>,
}

impl Watch {
    /// Adds the books of one more round.
    pub(super) fn observe(&mut self, books: Books) {
        let excesses = |sku: &str| {
            let figures = books.figures(sku);
            [Hearer::Sales, Hearer::Production].map(|hearer| ((sku.to_owned(), hearer), figures.excess(hearer)))
        };
        let mut off: BTreeMap<_, _> =
            books.skus().into_iter().flat_map(excesses).filter(|(_, excess)| *excess != 0).collect();
        if self.first.is_some() {
            off.retain(|key, excess| self.staying.get(key).is_some_and(|before| before.signum() == excess.signum()));
        } else {
            self.first = Some(books.clone());
        }
        self.staying = off;
        self.last = books;
    }

    /// True when no difference has remained so far.
    pub(super) fn agrees(&self) -> bool {
        self.staying.is_empty()
    }

    /// Differences that have remained, by product.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let skus: BTreeSet<&String> = self.staying.keys().map(|(sku, _)| sku).collect();
        let difference = |sku: &String| {
            let figures = self.last.figures(sku);
            let changing = self.first.as_ref().is_some_and(|first| first.figures(sku) != figures);
            Difference { sku: sku.clone(), figures, changing }
        };
        skus.into_iter().map(difference).collect()
    }

    /// Number of products, and units in restock-service's books.
    pub(super) fn compared(&self) -> (usize, i64) {
        (self.last.skus().len(), self.last.restock.values().fold(0, |sum, units| sum.saturating_add(*units)))
    }
}

#[cfg(test)]
#[path = "received_tests.rs"]
mod tests;
