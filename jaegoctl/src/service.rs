//! The services, as an operator names them.

use std::fmt;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// One of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Service {
    /// sales-service.
    Sales,
    /// production-service.
    Production,
    /// restock-service.
    Restock,
    /// access-service.
    Access,
}

impl Service {
    pub(crate) const ALL: [Self; 4] = [Self::Sales, Self::Production, Self::Restock, Self::Access];
    /// Those that exchange messages.
    pub(crate) const MESSAGING: [Self; 3] = [Self::Sales, Self::Production, Self::Restock];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales-service",
            Self::Production => "production-service",
            Self::Restock => "restock-service",
            Self::Access => "access-service",
        }
    }

    /// Short name: `sales`.
    pub(crate) const fn user_name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Production => "production",
            Self::Restock => "restock",
            Self::Access => "access",
        }
    }

    /// Variable with the URL of its API.
    pub(crate) const fn url_variable(self) -> &'static str {
        match self {
            Self::Sales => "SALES_URL",
            Self::Production => "PRODUCTION_URL",
            Self::Restock => "RESTOCK_URL",
            Self::Access => "ACCESS_URL",
        }
    }

    /// Variable with the URL of its database.
    pub(crate) const fn database_variable(self) -> &'static str {
        match self {
            Self::Sales => "SALES_DATABASE_URL",
            Self::Production => "PRODUCTION_DATABASE_URL",
            Self::Restock => "RESTOCK_DATABASE_URL",
            Self::Access => "ACCESS_DATABASE_URL",
        }
    }

    /// Variable with the URL of its database, with the role that owns it.
    pub(crate) const fn database_owner_variable(self) -> &'static str {
        match self {
            Self::Sales => "SALES_DATABASE_OWNER_URL",
            Self::Production => "PRODUCTION_DATABASE_OWNER_URL",
            Self::Restock => "RESTOCK_DATABASE_OWNER_URL",
            Self::Access => "ACCESS_DATABASE_OWNER_URL",
        }
    }

    /// Variable with the URL of its own broker user.
    pub(crate) const fn broker_variable(self) -> &'static str {
        match self {
            Self::Sales => "SALES_AMQP_URL",
            Self::Production => "PRODUCTION_AMQP_URL",
            Self::Restock => "RESTOCK_AMQP_URL",
            // It has no broker user.
            Self::Access => "",
        }
    }

    /// Flag with the URL of its API.
    pub(crate) const fn url_flag(self) -> &'static str {
        match self {
            Self::Sales => "--sales-url",
            Self::Production => "--production-url",
            Self::Restock => "--restock-url",
            Self::Access => "--access-url",
        }
    }
}

/// Parses the name of a service that exchanges messages.
pub(crate) fn messaging() -> impl TypedValueParser<Value = Service> {
    PossibleValuesParser::new(Service::MESSAGING.map(Service::user_name))
        .try_map(|name| Service::from_str(&name, false))
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
