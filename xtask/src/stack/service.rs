//! The three services, seen from outside.

use std::fmt;

use jaego_contracts::topology::User;
use serde_json::Value;

/// One of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// Its program, which is also its package and its name in messages.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Sales => "sales-service",
            Self::Production => "production-service",
            Self::Restock => "restock-service",
        }
    }

    /// Its user of the broker.
    pub const fn user(self) -> User {
        match self {
            Self::Sales => User::Sales,
            Self::Production => User::Production,
            Self::Restock => User::Restock,
        }
    }

    /// `sales`.
    pub const fn name(self) -> &'static str {
        self.user().name()
    }

    /// `SALES`.
    pub(crate) fn upper(self) -> String {
        self.name().to_uppercase()
    }

    /// Its private database, which is also its role.
    pub fn database(self) -> String {
        format!("jaego_{}", self.name())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Where a service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    /// Everything.
    pub api: String,
    /// What an ingress may show.
    pub public: String,
    /// Probes and metrics.
    pub admin: String,
}

/// How far a service must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// All it needs is there.
    Ready,
    /// It works, with or without its useful parts (the broker).
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

/// The status that `/readyz` tells, with what is wrong; none when nobody answers.
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
