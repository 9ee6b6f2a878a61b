//! Settings that every service has.

use jaego_access::settings::Access;
use jaego_pg::settings::{Database, SchemaOwner};
use jaego_postbox::settings::{Amqp, DeadLetters, Outbox};
use jaego_process::settings::{HasTelemetry, Shutdown};
use jaego_settings::{InvalidSettings, Sections, Sources, load_part, require, section};
use jaego_telemetry::settings::Telemetry;
use jaego_web::settings::{Auth, Http};
use serde::Deserialize;

/// The sections that every service has.
#[derive(Debug, Clone, Deserialize)]
pub struct Common {
    pub http: Http,
    /// The service's own PostgreSQL database.
    pub database: Database,
    pub amqp: Amqp,
    pub outbox: Outbox,
    pub auth: Auth,
    pub access: Access,
    pub telemetry: Telemetry,
    pub audit: Audit,
    pub dead_letters: DeadLetters,
    pub shutdown: Shutdown,
}

/// The continuous audit of the books.
#[derive(Debug, Clone, Deserialize)]
pub struct Audit {
    /// Interval at which one replica checks the books, seconds.
    pub every_s: u64,
    /// Interval at which all rules are checked from the first row on, seconds.
    pub full_every_s: u64,
}

impl Sections for Common {
    fn read(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Self> {
        let http = section(merged, "http", problems);
        let database = read_database(merged, problems);
        let amqp = section(merged, "amqp", problems);
        let outbox = section(merged, "outbox", problems);
        let auth = section(merged, "auth", problems);
        let access = section(merged, "access", problems);
        let telemetry = section(merged, "telemetry", problems);
        let audit = section(merged, "audit", problems);
        let dead_letters = section(merged, "dead_letters", problems);
        let shutdown = section(merged, "shutdown", problems);
        Some(Self {
            http: http?,
            database: database?,
            amqp: amqp?,
            outbox: outbox?,
            auth: auth?,
            access: access?,
            telemetry: telemetry?,
            audit: audit?,
            dead_letters: dead_letters?,
            shutdown: shutdown?,
        })
    }

    fn check(&self, problems: &mut Vec<String>) {
        self.database.check(problems);
        self.telemetry.check(problems);
        self.http.check(problems);
        self.amqp.check(problems);
        self.outbox.check(problems);
        self.dead_letters.check(problems);
        self.auth.check(problems);
        self.access.check(problems);
        let mut require = |good, problem| require(good, problem, problems);
        require((1..=86_400).contains(&self.audit.every_s), "audit.every_s: must be 1 to 86400");
        require(
            (self.audit.every_s..=31_536_000).contains(&self.audit.full_every_s),
            "audit.full_every_s: must be audit.every_s to 31536000 (a year)",
        );
    }
}

impl HasTelemetry for Common {
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

/// The sections of a service that exchanges no messages.
#[derive(Debug, Clone, Deserialize)]
pub struct Quiet {
    pub http: Http,
    /// The service's own PostgreSQL database.
    pub database: Database,
    pub auth: Auth,
    pub telemetry: Telemetry,
    pub shutdown: Shutdown,
}

impl Sections for Quiet {
    fn read(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Self> {
        let http = section(merged, "http", problems);
        let database = read_database(merged, problems);
        let auth = section(merged, "auth", problems);
        let telemetry = section(merged, "telemetry", problems);
        let shutdown = section(merged, "shutdown", problems);
        Some(Self { http: http?, database: database?, auth: auth?, telemetry: telemetry?, shutdown: shutdown? })
    }

    fn check(&self, problems: &mut Vec<String>) {
        self.database.check(problems);
        self.telemetry.check(problems);
        self.http.check(problems);
        self.auth.check(problems);
    }
}

impl HasTelemetry for Quiet {
    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

/// The owner's login is checked and dropped: a running service has no use for it.
fn read_database(merged: &serde_json::Value, problems: &mut Vec<String>) -> Option<Database> {
    let database = section(merged, "database", problems);
    if let (Some(database), Some(owner)) = (&database, section::<SchemaOwner>(merged, "database", problems)) {
        owner.check(database, problems);
    }
    database
}

/// Loads only the settings for work on the database, so that a job that does it need not have the other secrets.
pub(crate) fn load_for_database(sources: Sources<'_>) -> Result<(Database, SchemaOwner, Telemetry), InvalidSettings> {
    load_part(sources, |merged, problems| {
        let database: Option<Database> = section(merged, "database", problems);
        let owner: Option<SchemaOwner> = section(merged, "database", problems);
        let telemetry: Option<Telemetry> = section(merged, "telemetry", problems);
        if let Some(database) = &database {
            database.check(problems);
            if let Some(owner) = &owner {
                owner.check(database, problems);
            }
        }
        if let Some(telemetry) = &telemetry {
            telemetry.check(problems);
        }
        Some((database?, owner?, telemetry?))
    })
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
