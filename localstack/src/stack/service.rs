//! The services as seen from outside.

use std::fmt;

use jaego_contracts::topology::User;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    Sales,
    Production,
    Restock,
    Access,
}

impl Service {
    /// access-service comes first: the others ask it.
    pub const ALL: [Self; 4] = [Self::Access, Self::Sales, Self::Production, Self::Restock];
    /// Those that exchange messages.
    pub const MESSAGING: [Self; 3] = [Self::Sales, Self::Production, Self::Restock];

    /// Name of the service's program and package, also used in messages.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Sales => "sales-service",
            Self::Production => "production-service",
            Self::Restock => "restock-service",
            Self::Access => "access-service",
        }
    }

    /// The service's broker user, if it exchanges messages.
    pub const fn user(self) -> Option<User> {
        match self {
            Self::Sales => Some(User::Sales),
            Self::Production => Some(User::Production),
            Self::Restock => Some(User::Restock),
            Self::Access => None,
        }
    }

    /// Short name, such as `sales`.
    pub const fn name(self) -> &'static str {
        match self.user() {
            Some(user) => user.name(),
            None => "access",
        }
    }

    /// Short name in upper case, such as `SALES`.
    pub fn upper(self) -> String {
        self.name().to_uppercase()
    }

    /// Name of the service's private database and of the service's role.
    pub fn database(self) -> String {
        format!("jaego_{}", self.name())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Addresses of a program's three listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    /// All operations.
    pub api: String,
    /// Operations that an ingress may expose.
    pub public: String,
    /// Probes and metrics.
    pub admin: String,
}

/// Readiness that a caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// All dependencies are available.
    Ready,
    /// The service works, possibly without its optional dependencies (the broker).
    ReadyOrDegraded,
}

impl Want {
    pub(super) fn is_met_by(self, status: Option<&str>) -> bool {
        match self {
            Self::Ready => status == Some("ready"),
            Self::ReadyOrDegraded => matches!(status, Some("ready" | "degraded")),
        }
    }
}

/// Returns `ready` or `degraded`, otherwise the status code and body of `/readyz`. `None` without an answer.
pub(super) async fn readiness(client: &reqwest::Client, admin: &str) -> Option<String> {
    let answer = client.get(format!("{admin}/readyz")).send().await.ok()?;
    let code = answer.status();
    let text = answer.text().await.ok()?;
    let status = serde_json::from_str(&text).ok().and_then(|body: Value| Some(body["status"].as_str()?.to_owned()));
    match status {
        Some(status) if code.is_success() && status == "ready" => Some(status),
        Some(status) if code.is_success() && status == "degraded" => Some(status),
        _ => Some(format!("{code} {text}")),
    }
}
