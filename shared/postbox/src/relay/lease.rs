//! The leader's lease: one row, timed by the database's clock.

use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use jaego_pg::{Pipeline, Pool, Statement, StatementSql, StoreError, within};
use uuid::Uuid;

use super::SIGNAL;

/// Duration of the lease, seconds: a leader that no longer renews it keeps others from leading for this long.
const LASTS_S: i64 = 9;
/// Age after which the next round trip renews the lease.
const RENEW_AFTER: Duration = Duration::from_secs(2);
/// Interval at which other replicas check whether the lease has expired.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Longest wait for one statement.
const LIMIT: Duration = Duration::from_secs(10);

/// Takes or renews the lease; updates no row while another replica holds it. A lease that lasts longer than any is void:
/// the database's clock was set back. Twice the duration, because `now()` is the time at which a transaction began, and
/// it may have waited for a renewal since.
struct Take;
impl StatementSql for Take {
    const SQL: &'static str = "UPDATE relay_lease SET holder = ?, until = now() + ? * interval '1 second' \
        WHERE id = 1 AND (holder = ? OR until <= now() OR until > now() + 2 * ? * interval '1 second')";
}

struct Release;
impl StatementSql for Release {
    const SQL: &'static str = "UPDATE relay_lease SET until = now() WHERE id = 1 AND holder = ?";
}

struct Signal;
impl StatementSql for Signal {
    const SQL: &'static str = "SELECT pg_notify(?, '')";
}

pub(super) struct Lease<'a> {
    pool: &'a Pool,
    /// Identifies this process for its lifetime.
    holder: Uuid,
    /// None while another replica leads.
    renewed_at: Option<Instant>,
}

impl<'a> Lease<'a> {
    pub(super) fn new(pool: &'a Pool) -> Self {
        Self { pool, holder: Uuid::now_v7(), renewed_at: None }
    }

    /// Tries to take or renew the lease; true if this process leads from now on.
    pub(super) async fn take(&mut self) -> bool {
        match self.run(self.renewing()).await {
            Ok(rows) => self.note(rows == 1),
            Err(error) => {
                tracing::warn!(%error, "relay cannot check whether it is the leader");
                self.note(false);
            }
        }
        self.renewed_at.is_some()
    }

    pub(super) fn must_be_renewed(&self) -> bool {
        self.renewed_at.is_none_or(|at| at.elapsed() >= RENEW_AFTER)
    }

    /// Statement that renews the lease, to be run together with others. Pass to [`Self::note`] whether it updated a
    /// row.
    pub(super) fn renewing(&self) -> Statement<impl StatementSql + use<>> {
        Statement::<Take>::new()
            .bind::<SqlUuid, _>(self.holder)
            .bind::<BigInt, _>(LASTS_S)
            .bind::<SqlUuid, _>(self.holder)
            .bind::<BigInt, _>(LASTS_S)
    }

    pub(super) fn note(&mut self, is_ours: bool) {
        self.renewed_at = is_ours.then(Instant::now);
    }

    /// Releases the lease, so that another replica can lead at once. If the database cannot be reached, others lead
    /// when the lease expires.
    pub(super) async fn release(&mut self) {
        if self.renewed_at.take().is_some() {
            self.run(Statement::<Release>::new().bind::<SqlUuid, _>(self.holder)).await.ok();
        }
    }

    async fn run<S: StatementSql>(&self, statement: Statement<S>) -> Result<usize, StoreError> {
        let running = async {
            let connection = Pipeline::new(self.pool.get().await?);
            Ok(connection.single(statement.run(connection.connection())).await?)
        };
        within(LIMIT, self.pool, running).await
    }

    /// Notifies the leader that there are events. A lost notification is harmless, because the leader also polls.
    pub(super) async fn signal(&self) {
        self.run(Statement::<Signal>::new().bind::<Text, _>(SIGNAL.to_owned())).await.ok();
    }
}
