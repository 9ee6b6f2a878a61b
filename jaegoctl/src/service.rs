//! The three services, as an operator names them.

use std::fmt;

use clap::ValueEnum;

/// One of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Service {
    /// sales-service.
    Sales,
    /// production-service.
    Production,
    /// restock-service.
    Restock,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Sales, Self::Production, Self::Restock];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales-service",
            Self::Production => "production-service",
            Self::Restock => "restock-service",
        }
    }

    /// Short name, as in its broker user: `sales`.
    pub(crate) const fn user_name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Production => "production",
            Self::Restock => "restock",
        }
    }

    /// Variable with the URL of its API.
    pub(crate) const fn url_variable(self) -> &'static str {
        match self {
            Self::Sales => "SALES_URL",
            Self::Production => "PRODUCTION_URL",
            Self::Restock => "RESTOCK_URL",
        }
    }

    /// Variable with the URL of its database.
    pub(crate) const fn database_variable(self) -> &'static str {
        match self {
            Self::Sales => "SALES_DATABASE_URL",
            Self::Production => "PRODUCTION_DATABASE_URL",
            Self::Restock => "RESTOCK_DATABASE_URL",
        }
    }

    /// Variable with the URL of its own broker user.
    pub(crate) const fn broker_variable(self) -> &'static str {
        match self {
            Self::Sales => "SALES_AMQP_URL",
            Self::Production => "PRODUCTION_AMQP_URL",
            Self::Restock => "RESTOCK_AMQP_URL",
        }
    }

    /// Flag with the URL of its API.
    pub(crate) const fn url_flag(self) -> &'static str {
        match self {
            Self::Sales => "--sales-url",
            Self::Production => "--production-url",
            Self::Restock => "--restock-url",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
