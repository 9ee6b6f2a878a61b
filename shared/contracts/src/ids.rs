//! Identifiers and quantities that are checked when they are created, so every value is valid.
//!
//! This is the only module of `shared` that a service's `domain` may import.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest SKU or factory id, in characters.
pub const CODE_LENGTH_MAX: usize = 64;
/// Largest count of units in one order line, level, lot, request or receipt.
pub const UNITS_MAX: i64 = 1_000_000;

/// The text is not a valid SKU or factory id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 characters of A-Z a-z 0-9 . _ : - and begin with a letter or digit")]
pub struct InvalidCode;

fn is_code(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= CODE_LENGTH_MAX
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

macro_rules! code {
    ($(#[$doc:meta])* $name:ident, $example:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$", example = $example)]
        pub struct $name(String);

        impl $name {
            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = InvalidCode;
            fn from_str(text: &str) -> Result<Self, InvalidCode> {
                Self::try_from(text.to_owned())
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidCode;
            fn try_from(text: String) -> Result<Self, InvalidCode> {
                if is_code(&text) { Ok(Self(text)) } else { Err(InvalidCode) }
            }
        }
        impl From<$name> for String {
            fn from(code: $name) -> Self {
                code.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

code!(
    /// Stock keeping unit: opaque text of the shop (both `CP-502101` and a UUID occur).
    Sku,
    "CP-502101"
);
code!(
    /// A factory's id: opaque text.
    FactoryId,
    "FF-500293"
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Generates a UUIDv7: later ids sort after earlier ones.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }
        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

uuid_id!(
    /// A shopper's order.
    OrderId
);
uuid_id!(
    /// A replenishment and its production request: one decision, one id.
    RequestId
);
uuid_id!(
    /// One entry of the stock ledger.
    MovementId
);
uuid_id!(
    /// A goods receipt.
    ReceiptId
);
uuid_id!(
    /// An entry of the quarantine.
    QuarantineId
);
uuid_id!(
    /// A callback as one process has received it: a repetition is another one.
    CallbackId
);
uuid_id!(
    /// An event on the broker; also its AMQP `message_id`.
    EventId
);

/// The number is not a valid count of units.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 1 to 1000000")]
pub struct InvalidQuantity;

/// A count of units, 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "i64", into = "i64")]
#[schema(value_type = i64, minimum = 1, maximum = 1_000_000, example = 10)]
pub struct Quantity(i64);

impl Quantity {
    /// Returns the count as a number.
    pub fn get(self) -> i64 {
        self.0
    }
}
impl TryFrom<i64> for Quantity {
    type Error = InvalidQuantity;
    fn try_from(units: i64) -> Result<Self, InvalidQuantity> {
        if (1..=UNITS_MAX).contains(&units) { Ok(Self(units)) } else { Err(InvalidQuantity) }
    }
}
impl From<Quantity> for i64 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}
impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_field_are_accepted_and_others_refused() {
        for good in ["CP-502101", "ebb60806-b0bf-11ed-8e89-069658f3b1c6", "a", "A._:-9"] {
            assert!(good.parse::<Sku>().is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "-a", ".a", "a b", "도너츠", "a/b", long.as_str()] {
            assert_eq!(bad.parse::<Sku>(), Err(InvalidCode), "{bad}");
        }
    }

    #[test]
    fn quantities_are_bounded() {
        assert!(Quantity::try_from(1).is_ok() && Quantity::try_from(UNITS_MAX).is_ok());
        assert!(Quantity::try_from(0).is_err() && Quantity::try_from(UNITS_MAX + 1).is_err());
    }
}
