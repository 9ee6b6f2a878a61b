//! Compares which production requests are open; pure.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request that is open in one service's books.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Request {
    pub(super) id: String,
    sku: String,
    quantity: i64,
}

/// The open requests of one service's books, by id. Ids rise with time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Open {
    requests: BTreeMap<String, Request>,
    /// True when the service left out older requests.
    is_cut: bool,
}

/// Parses `open` and `open_is_cut` of an audit report.
pub(super) fn open(report: &Value) -> Result<Open, String> {
    let requests: Vec<Request> =
        Vec::deserialize(&report["open"]).map_err(|error| format!("the audit's list `open`: {error}"))?;
    let is_cut = report["open_is_cut"].as_bool().ok_or("the audit has no `open_is_cut`")?;
    Ok(Open { requests: requests.into_iter().map(|request| (request.id.clone(), request)).collect(), is_cut })
}

/// The service whose books lack a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MissingIn {
    /// sales-service counts on it; production-service does not have it, or has ended it.
    Production,
    /// sales-service counts on it; restock-service expects no goods for it.
    Restock,
    /// production-service is working on it; sales-service does not count on it.
    Sales,
}

/// A request that is not open in all books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Astray {
    pub(super) id: String,
    sku: String,
    quantity: i64,
    pub(super) missing_in: MissingIn,
}

impl fmt::Display for Astray {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, sku, quantity, missing_in } = self;
        let shown = match missing_in {
            MissingIn::Production => "on order in sales-service, not in progress in production-service",
            MissingIn::Restock => "on order in sales-service, not expected by restock-service",
            MissingIn::Sales => "in progress in production-service, not on order in sales-service",
        };
        write!(formatter, "request {id} ({quantity} of {sku}): {shown}")
    }
}

/// Requests that are not open in all books, among those recent enough to be in every service's list.
pub(super) fn astray(sales: &Open, production: &Open, restock: &Open) -> Vec<Astray> {
    let told_from = [sales, production, restock]
        .into_iter()
        .filter(|open| open.is_cut)
        .filter_map(|open| open.requests.keys().next())
        .max();
    let mut found = Vec::new();
    let mut look = |in_one: &Open, in_other: &Open, missing_in| {
        let missing = in_one.requests.values().filter(|request| !in_other.requests.contains_key(&request.id));
        let missing = missing.filter(|request| told_from.is_none_or(|first| request.id >= *first));
        let of = |Request { id, sku, quantity }: &Request| Astray {
            id: id.clone(),
            sku: sku.clone(),
            quantity: *quantity,
            missing_in,
        };
        found.extend(missing.map(of));
    };
    look(sales, production, MissingIn::Production);
    look(sales, restock, MissingIn::Restock);
    look(production, sales, MissingIn::Sales);
    found
}

/// Requests that were astray before and still are: a message that was in flight is no fault.
pub(super) fn still(before: Option<Vec<Astray>>, now: Vec<Astray>) -> Vec<Astray> {
    match before {
        None => now,
        Some(before) => now.into_iter().filter(|one| before.contains(one)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(ids: &[&str], is_cut: bool) -> Open {
        let requests: Vec<Value> =
            ids.iter().map(|id| json!({"id": id, "sku": "CP-1", "quantity": 10, "status": "open"})).collect();
        open(&json!({"open": requests, "open_is_cut": is_cut})).expect("readable")
    }

    fn faults(sales: &Open, production: &Open, restock: &Open) -> Vec<(String, MissingIn)> {
        astray(sales, production, restock).into_iter().map(|one| (one.id, one.missing_in)).collect()
    }

    #[test]
    fn a_request_that_is_lost_anywhere_is_found() {
        let all = of(&["1", "2"], false);
        assert_eq!(faults(&all, &all, &all), []);
        // restock-service does not learn of a refusal, so a request that it alone expects is no fault.
        assert_eq!(faults(&of(&[], false), &of(&[], false), &all), []);
        let one = of(&["1"], false);
        assert_eq!(faults(&all, &one, &all), [("2".to_owned(), MissingIn::Production)]);
        assert_eq!(faults(&all, &all, &one), [("2".to_owned(), MissingIn::Restock)]);
        assert_eq!(faults(&one, &all, &all), [("2".to_owned(), MissingIn::Sales)]);
        let shown = astray(&all, &one, &all)[0].to_string();
        assert_eq!(shown, "request 2 (10 of CP-1): on order in sales-service, not in progress in production-service");
    }

    #[test]
    fn only_requests_that_all_services_report_are_compared() {
        let (all, cut) = (of(&["1", "2", "3"], false), of(&["3"], true));
        assert_eq!(faults(&all, &cut, &all), []);
        assert_eq!(faults(&all, &of(&["2"], true), &all), [("3".to_owned(), MissingIn::Production)]);
    }

    #[test]
    fn a_request_in_transit_is_no_violation() {
        let (all, one) = (of(&["1", "2"], false), of(&["1"], false));
        let first = astray(&all, &one, &all);
        assert_eq!(still(None, first.clone()), first);
        assert_eq!(still(Some(first.clone()), astray(&all, &all, &all)), []);
        assert_eq!(still(Some(Vec::new()), first), []);
    }
}
