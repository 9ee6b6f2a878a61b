//! Who leads: one row, by the database's clock.

use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use jaego_pg::{Pool, Statement, StatementSql, StoreError};
use uuid::Uuid;

use super::SIGNAL;

/// How long a leader that no longer renews its lease keeps others from leading, seconds.
const LASTS_S: i64 = 9;
/// It is renewed by the first look after this.
const RENEW_AFTER: Duration = Duration::from_secs(2);
/// How often others look whether it has ended.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Takes the lease, or keeps it; touches no row when it is another's.
struct Take;
impl StatementSql for Take {
    const SQL: &'static str = "UPDATE relay_lease SET holder = ?, until = now() + ? * interval '1 second' \
        WHERE id = 1 AND (holder = ? OR until <= now())";
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
    /// This process, as long as it lives.
    holder: Uuid,
    /// None while another leads.
    renewed_at: Option<Instant>,
}

impl<'a> Lease<'a> {
    pub(super) fn new(pool: &'a Pool) -> Self {
        Self { pool, holder: Uuid::now_v7(), renewed_at: None }
    }

    /// Whether this process leads from now on.
    pub(super) async fn take(&mut self) -> bool {
        let taken = async { Ok::<_, StoreError>(self.renewing().run(&*self.pool.get().await?).await?) };
        match taken.await {
            Ok(rows) => self.note(rows == 1),
            Err(error) => {
                tracing::warn!(%error, "relay cannot ask whether it leads");
                self.note(false);
            }
        }
        self.renewed_at.is_some()
    }

    pub(super) fn must_be_renewed(&self) -> bool {
        self.renewed_at.is_none_or(|at| at.elapsed() >= RENEW_AFTER)
    }

    /// Renews it, beside other statements; [`Self::note`] whether that touched a row.
    pub(super) fn renewing(&self) -> Statement<impl StatementSql + use<>> {
        Statement::<Take>::new()
            .bind::<SqlUuid, _>(self.holder)
            .bind::<BigInt, _>(LASTS_S)
            .bind::<SqlUuid, _>(self.holder)
    }

    pub(super) fn note(&mut self, is_ours: bool) {
        self.renewed_at = is_ours.then(Instant::now);
    }

    /// Lets another replica lead at once. One that cannot be told finds out when the lease ends.
    pub(super) async fn release(&mut self) {
        if self.renewed_at.take().is_some()
            && let Ok(connection) = self.pool.get().await
        {
            Statement::<Release>::new().bind::<SqlUuid, _>(self.holder).run(&connection).await.ok();
        }
    }

    /// Tells the leader that there are events. It looks by the clock, too.
    pub(super) async fn signal(&self) {
        if let Ok(connection) = self.pool.get().await {
            Statement::<Signal>::new().bind::<Text, _>(SIGNAL.to_owned()).run(&connection).await.ok();
        }
    }
}
