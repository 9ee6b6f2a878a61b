//! Forwards requests to services and returns their answers. Only the routes in [`table`] are forwarded.

pub mod table;
mod upstream;

pub use table::{Route, Who};
pub use upstream::{Target, Upstream, client};

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Sales,
    Production,
    Restock,
    Access,
}

impl Service {
    pub const ALL: [Self; 4] = [Self::Sales, Self::Production, Self::Restock, Self::Access];

    /// First segment of the paths that are forwarded to it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Production => "production",
            Self::Restock => "restock",
            Self::Access => "access",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-service", self.prefix())
    }
}
