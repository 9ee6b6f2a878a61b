//! Requests that are handed on to services, and answers that come back. Only what [`table`] lists.

pub mod table;
mod upstream;

pub use table::{Route, Who};
pub use upstream::{Target, Upstream, client};

use std::fmt;

/// A service behind this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// sales-service.
    Sales,
    /// production-service.
    Production,
    /// restock-service.
    Restock,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sales, Self::Production, Self::Restock];

    /// The first part of the paths that are handed on to it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Production => "production",
            Self::Restock => "restock",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-service", self.prefix())
    }
}
