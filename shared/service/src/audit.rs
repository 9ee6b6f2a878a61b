//! The continuous audit of a service's own books: rules as SQL, over one snapshot.
//!
//! One replica at a time checks them. With a long history, most checks continue from what was proven before
//! ([`Increments`]), so they cost no more than the new rows. All rules over all rows are checked once a day, and on
//! request; only that finds rows that were changed after they had been proven.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Jsonb, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use jaego_contracts::ids::{RequestId, Sku};
use jaego_pg::{Pool, StoreError};
use jaego_web::auth::Viewer;
use jaego_web::problem::Problem;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Gauge;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// Timeout of one rule: a whole ledger is summed up, which may take longer than a request may.
const RULE_TIMEOUT: &str = "SET LOCAL statement_timeout = '10min'";
/// Maximum number of open requests in a report; the SQL contains this number as well, plus one.
const OPEN_MAX: usize = 10_000;
/// Maximum number of violations listed for each rule.
const SHOWN_MAX: usize = 10;

#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Such as `ledger-adds-up`.
    pub name: &'static str,
    /// Returns a text column `violation`: a sentence for each violation.
    pub sql: &'static str,
    /// Statements that rebuild the figure, for a rule that compares a kept figure with the rows behind it.
    pub repair: Option<Repair>,
}

/// Statements that set the figures compared by a rule to what the rows say.
#[derive(Debug, Clone, Copy)]
pub struct Repair {
    /// Prevents concurrent changes of the figures.
    pub lock: &'static str,
    /// Corrects the wrong figures.
    pub sql: &'static str,
}

/// The audit of a service's books, as SQL.
#[derive(Debug, Clone, Copy)]
pub struct Books {
    pub rules: &'static [Rule],
    /// Returns a jsonb column `total`: an object with `sku` for each product.
    pub totals: &'static str,
    /// Returns a jsonb column `open`: an object with `id`, `sku`, `quantity` and `status` for each open production
    /// request, newest first, one more than a report lists ([`OPEN_MAX`]).
    pub open: &'static str,
    /// Rules checked between two full checks; with None, every check is a full one.
    pub increments: Option<Increments>,
}

impl Books {
    /// The books of a service that has nothing to compare.
    pub const NONE: Self = Self { rules: &[], totals: "", open: "", increments: None };
}

/// Rules whose cost does not grow with history.
#[derive(Debug, Clone, Copy)]
pub struct Increments {
    /// The rules, over what is new since the last incremental check without violations.
    pub rules: &'static [Rule],
    /// Statement that records everything up to this snapshot as proven.
    pub advance: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Increment,
    Full,
}

#[derive(QueryableByName)]
struct Claimed {
    #[diesel(sql_type = Bool)]
    is_full: bool,
}

/// Result of one rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditCheck {
    /// Name of the rule.
    #[schema(example = "ledger-adds-up")]
    name: String,
    /// True if the rule holds.
    #[schema(example = true)]
    ok: bool,
    /// The violations, with product and difference; `ok` if there are none.
    #[schema(example = "ok")]
    detail: String,
}

/// The result of an audit.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditReport {
    /// Time of the snapshot.
    as_of: DateTime<Utc>,
    /// True if all rules hold.
    #[schema(example = true)]
    ok: bool,
    checks: Vec<AuditCheck>,
    #[schema(value_type = Vec<AuditTotal>)]
    totals: Vec<Value>,
    /// The newest 10,000 production requests that are open in these books.
    #[schema(value_type = Vec<OpenRequest>)]
    open: Vec<Value>,
    /// True if more requests are open than listed.
    #[schema(example = false)]
    open_is_cut: bool,
}

/// A production request that is open in a service's books.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documentation: open requests are written by SQL")]
struct OpenRequest {
    id: RequestId,
    sku: Sku,
    #[schema(example = 100)]
    quantity: i64,
    /// Status as this service calls it.
    #[schema(example = "open")]
    status: String,
}

/// Totals of a product, in units; each service has its own.
#[derive(ToSchema)]
#[schema(example = json!({"received": 10}))]
#[expect(dead_code, reason = "documentation: totals are written by SQL")]
struct AuditTotal {
    sku: Sku,
    #[serde(flatten)]
    units: BTreeMap<String, Value>,
}

#[derive(QueryableByName)]
struct Off {
    #[diesel(sql_type = Text)]
    violation: String,
}

#[derive(QueryableByName)]
struct Open {
    #[diesel(sql_type = Jsonb)]
    open: Value,
}

#[derive(QueryableByName)]
struct Total {
    #[diesel(sql_type = Jsonb)]
    total: Value,
}

#[derive(Clone)]
pub struct Auditor {
    pool: Pool,
    books: Arc<Books>,
    broken: Gauge<u64>,
    completed: Gauge<u64>,
}

impl Auditor {
    pub fn new(pool: Pool, books: Books) -> Self {
        let broken = opentelemetry::global::meter("jaego")
            .u64_gauge("jaego_audit_broken_rules")
            .with_description("1 for each rule of the books that is broken")
            .build();
        let completed = opentelemetry::global::meter("jaego")
            .u64_gauge("jaego_audit_completed_timestamp_seconds")
            .with_description("Time of this replica's last audit of the books; take the maximum")
            .build();
        Self { pool, books: Arc::new(books), broken, completed }
    }

    /// Checks the books whenever it is this process's turn, until `stop`. Violations are logged and measured.
    pub async fn watch(self, every: Duration, full_every: Duration, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.take_turn(every, full_every).await {
                Ok(checks) => {
                    for check in checks.iter().filter(|check| !check.ok) {
                        tracing::error!(rule = check.name, detail = check.detail, "the books do not agree");
                    }
                }
                Err(error) => tracing::warn!(%error, "the books could not be audited now"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(every) => {}
            }
        }
    }

    /// Runs the check that is due, or nothing when another replica has done so.
    async fn take_turn(&self, every: Duration, full_every: Duration) -> Result<Vec<AuditCheck>, StoreError> {
        let increments = self.books.increments;
        match (self.claim(every, full_every).await?, increments) {
            (None, _) => {
                // Another replica reports its findings, so the earlier ones of this replica are stale.
                for rule in self.books.rules {
                    self.broken.record(0, &[KeyValue::new("rule", rule.name)]);
                }
                Ok(Vec::new())
            }
            (Some(Turn::Increment), Some(increments)) => self.run_increment(increments).await,
            (Some(Turn::Increment | Turn::Full), _) => {
                let report = self.run().await?;
                // A full check with violations is repeated at each turn until it finds none, so that the alarm lasts
                // as long as its cause, whichever replica reports it.
                if report.ok {
                    let mut connection = self.pool.get().await?;
                    sql_query("UPDATE audit_turns SET full_at = now()").execute(&mut connection).await?;
                }
                Ok(report.checks)
            }
        }
    }

    /// Claims the turn if it is due. The next one is due `every` later for all replicas, even if this process dies
    /// before it has completed its own.
    async fn claim(&self, every: Duration, full_every: Duration) -> Result<Option<Turn>, StoreError> {
        let mut connection = self.pool.get().await?;
        let claimed: Vec<Claimed> = sql_query(
            "UPDATE audit_turns SET next_at = now() + $1 * interval '1 second' WHERE next_at <= now() \
             RETURNING full_at IS NULL OR full_at <= now() - $2 * interval '1 second' AS is_full",
        )
        .bind::<BigInt, _>(seconds(every))
        .bind::<BigInt, _>(seconds(full_every))
        .load(&mut connection)
        .await?;
        Ok(claimed.into_iter().next().map(|claimed| if claimed.is_full { Turn::Full } else { Turn::Increment }))
    }

    async fn run_increment(&self, increments: Increments) -> Result<Vec<AuditCheck>, StoreError> {
        let mut connection = self.pool.get().await?;
        let checks = connection
            .build_transaction()
            .repeatable_read()
            .run(async move |connection| {
                sql_query(RULE_TIMEOUT).execute(connection).await?;
                let checks = check(connection, increments.rules).await?;
                if checks.iter().all(|check| check.ok) {
                    sql_query(increments.advance).execute(connection).await?;
                }
                Ok::<_, StoreError>(checks)
            })
            .await?;
        self.measure(&checks, Utc::now());
        Ok(checks)
    }

    fn measure(&self, checks: &[AuditCheck], as_of: DateTime<Utc>) {
        for check in checks {
            self.broken.record(u64::from(!check.ok), &[KeyValue::new("rule", check.name.clone())]);
        }
        self.completed.record(u64::try_from(as_of.timestamp()).unwrap_or_default(), &[]);
    }

    /// Checks every rule over one snapshot.
    pub async fn run(&self) -> Result<AuditReport, StoreError> {
        let mut connection = self.pool.get().await?;
        let books = self.books.clone();
        let report = connection
            .build_transaction()
            .repeatable_read()
            .read_only()
            .run(async move |connection| audit(connection, &books).await)
            .await?;
        self.measure(&report.checks, report.as_of);
        Ok(report)
    }
}

/// Returns a sentence for each violation of the rule.
pub(crate) async fn violations(connection: &mut AsyncPgConnection, rule: &Rule) -> Result<Vec<String>, StoreError> {
    let rows: Vec<Off> = sql_query(rule.sql).load(connection).await?;
    Ok(rows.into_iter().map(|row| row.violation).collect())
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

async fn check(connection: &mut AsyncPgConnection, rules: &[Rule]) -> Result<Vec<AuditCheck>, StoreError> {
    let mut checks = Vec::new();
    for rule in rules {
        let violations = violations(connection, rule).await?;
        let shown: Vec<&str> = violations.iter().take(SHOWN_MAX).map(String::as_str).collect();
        let detail = match violations.len() {
            0 => "ok".to_owned(),
            count if count > SHOWN_MAX => format!("{}; and {} more", shown.join("; "), count - SHOWN_MAX),
            _ => shown.join("; "),
        };
        checks.push(AuditCheck { name: rule.name.to_owned(), ok: violations.is_empty(), detail });
    }
    Ok(checks)
}

async fn audit(connection: &mut AsyncPgConnection, books: &Books) -> Result<AuditReport, StoreError> {
    sql_query(RULE_TIMEOUT).execute(connection).await?;
    let checks = check(connection, books.rules).await?;
    let totals: Vec<Total> = sql_query(books.totals).load(connection).await?;
    let open: Vec<Open> = sql_query(books.open).load(connection).await?;
    Ok(AuditReport {
        as_of: Utc::now(),
        ok: checks.iter().all(|check| check.ok),
        checks,
        totals: totals.into_iter().map(|row| row.total).collect(),
        open_is_cut: open.len() > OPEN_MAX,
        open: open.into_iter().take(OPEN_MAX).map(|row| row.open).collect(),
    })
}

/// Check all rules of this service's books against its rows, now.
#[utoipa::path(
    tag = "audit",
    operation_id = "getAudit",
    security(("operator" = [])),
    responses((status = 200, description = "Each rule with its result.", body = AuditReport)),
)]
#[get("/api/v1/audit")]
pub async fn get_audit(_: Viewer, auditor: Data<Auditor>) -> Result<HttpResponse, Problem> {
    Ok(HttpResponse::Ok().json(auditor.run().await?))
}
