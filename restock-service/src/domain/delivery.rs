//! One delivery as its callback reports it, checked against the order.

use jaego_contracts::ids::{FactoryId, Quantity, Sku, UNITS_MAX};

/// The order, as stated in the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) sku: Sku,
    pub(crate) factory_id: FactoryId,
    pub(crate) quantity: Quantity,
}

/// Content of a callback: texts as received, not judged yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The factory's name for this delivery. A delivery without one is identified by its token alone.
    pub(crate) delivery_id: Option<String>,
    /// The product, if the body names one.
    pub(crate) product: Option<String>,
    /// The factory, if the body names one.
    pub(crate) factory: Option<String>,
    pub(crate) count: ClaimedCount,
    /// Set for an unreadable body, to distinguish it from others.
    pub(crate) unreadable: Option<String>,
}

/// The count as received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ClaimedCount {
    #[default]
    Missing,
    /// One count, not parsed yet.
    Text(String),
    /// Two counts that differ.
    Contradictory(String, String),
}

/// Why a delivery does not match its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A product other than the one ordered.
    OtherProduct,
    /// A factory other than the one asked.
    OtherFactory,
    /// The count is missing or unusable.
    Count(CountFault),
    /// The body is unreadable.
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountFault {
    Missing,
    /// There are two counts that differ.
    Contradictory,
    /// Not a whole number from 1 to 1,000,000.
    OutOfRange,
}

/// A claim checked against its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// True if the factory gave it a name.
    pub(crate) has_id: bool,
    /// Its units, or its fault.
    pub(crate) content: Result<Quantity, Fault>,
    /// True if the token had expired on arrival.
    pub(crate) is_expired: bool,
    /// True if the store refused it before, so that it must not be booked without an operator.
    pub(crate) is_lost: bool,
}

impl Claim {
    /// Judges the claim by itself, regardless of what was received before.
    pub(crate) fn against(&self, order: &Order, is_expired: bool) -> Delivery {
        let differs =
            |claimed: &Option<String>, asked: &str| claimed.as_deref().is_some_and(|claimed| claimed != asked);
        let content = if self.unreadable.is_some() {
            Err(Fault::Unreadable)
        } else if differs(&self.product, order.sku.as_str()) {
            Err(Fault::OtherProduct)
        } else if differs(&self.factory, order.factory_id.as_str()) {
            Err(Fault::OtherFactory)
        } else {
            self.count.read().map_err(Fault::Count)
        };
        Delivery { has_id: self.delivery_id.is_some(), content, is_expired, is_lost: false }
    }

    /// Returns a text that is the same for two deliveries exactly if one repeats the other. A usable delivery is
    /// identified by its name and its units, a faulty one by everything that was judged.
    pub(crate) fn identity(&self, delivery: &Delivery) -> String {
        let mut parts = vec![self.delivery_id.as_deref().map_or_else(|| "-".to_owned(), |id| format!("+{id}"))];
        if let Ok(quantity) = delivery.content {
            parts.push(quantity.to_string());
        } else {
            let (first, second) = match &self.count {
                ClaimedCount::Missing => ("", ""),
                ClaimedCount::Text(text) => (text.as_str(), ""),
                ClaimedCount::Contradictory(first, second) => (first.as_str(), second.as_str()),
            };
            parts.extend(["faulty", first, second].map(str::to_owned));
            parts.extend([&self.product, &self.factory, &self.unreadable].map(|text| text.clone().unwrap_or_default()));
        }
        // Each part carries its length, so that no two lists of parts give the same text.
        parts.iter().fold(String::new(), |text, part| text + &part.len().to_string() + ":" + part)
    }
}

impl ClaimedCount {
    /// Parses the count.
    pub(crate) fn read(&self) -> Result<Quantity, CountFault> {
        let text = match self {
            Self::Missing => return Err(CountFault::Missing),
            Self::Contradictory(..) => return Err(CountFault::Contradictory),
            Self::Text(text) => text.trim(),
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number with more digits than fit is out of range all the same.
        let units = if digits { text.parse().unwrap_or(UNITS_MAX + 1) } else { 0_i64 };
        Quantity::try_from(units).map_err(|_| CountFault::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            sku: "CP-502101".parse().expect("sku"),
            factory_id: "FF-500293".parse().expect("factory"),
            quantity: Quantity::try_from(100).expect("quantity"),
        }
    }

    fn claim(count: &str) -> Claim {
        Claim { count: ClaimedCount::Text(count.to_owned()), ..Claim::default() }
    }

    #[test]
    fn counts_are_whole_numbers_in_range() {
        for (text, units) in [("1", 1), ("100", 100), (" 7 ", 7), ("0100", 100), ("1000000", 1_000_000)] {
            assert_eq!(ClaimedCount::Text(text.into()).read().map(Quantity::get), Ok(units), "{text}");
        }
        for text in
            ["0", "-1", "+1", "1.5", "1e3", "1000001", "99999999999999999999999", "ten", "１", "{}", "true", "1 0"]
        {
            assert_eq!(ClaimedCount::Text(text.into()).read(), Err(CountFault::OutOfRange), "{text}");
        }
        assert_eq!(ClaimedCount::Missing.read(), Err(CountFault::Missing));
        assert_eq!(ClaimedCount::Contradictory("1".into(), "2".into()).read(), Err(CountFault::Contradictory));
    }

    #[test]
    fn missing_fields_are_taken_from_the_token_and_differing_ones_are_faults() {
        let delivery = claim("5").against(&order(), false);
        assert_eq!(delivery.content.map(Quantity::get), Ok(5));
        let named = Claim { product: Some("CP-502101".into()), factory: Some("FF-500293".into()), ..claim("5") };
        assert!(named.against(&order(), false).content.is_ok());
        let other = Claim { product: Some("CP-1".into()), ..claim("nonsense") };
        assert_eq!(other.against(&order(), false).content, Err(Fault::OtherProduct));
        let other = Claim { factory: Some(String::new()), ..claim("5") };
        assert_eq!(other.against(&order(), false).content, Err(Fault::OtherFactory));
        assert_eq!(claim("0").against(&order(), false).content, Err(Fault::Count(CountFault::OutOfRange)));
        let unreadable = Claim { unreadable: Some("digest".into()), ..Claim::default() };
        assert_eq!(unreadable.against(&order(), false).content, Err(Fault::Unreadable));
    }

    #[test]
    fn the_same_delivery_has_one_identity_and_others_have_others() {
        let identity = |claim: &Claim| claim.identity(&claim.against(&order(), false));
        let named = |id: &str, count: &str| Claim { delivery_id: Some(id.to_owned()), ..claim(count) };
        let full = Claim { product: Some("CP-502101".into()), ..claim("0100") };
        assert_eq!(identity(&claim("100")), identity(&full));
        let mut all: Vec<String> = [
            claim("100"),
            claim("99"),
            claim("0"),
            claim("-1"),
            named("-", "100"),
            named("a", "100"),
            named("a3:100", "1"),
            Claim { product: Some("X".into()), ..claim("100") },
            Claim { factory: Some("X".into()), ..claim("100") },
            Claim { unreadable: Some("1".into()), ..Claim::default() },
            Claim { unreadable: Some("2".into()), ..Claim::default() },
            Claim::default(),
        ]
        .iter()
        .map(identity)
        .collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{all:?}");
    }
}
