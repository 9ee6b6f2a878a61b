//! Makes one role the owner of a database and its tables, while the service goes on working with them.

use std::time::Instant;

use tokio_postgres::error::SqlState;

use super::{Owned, ProvisionError, Session, refused};
use crate::migrations::{LOCK, LOCK_PAUSE, LOCK_TIMEOUT, LOCK_TRIED_MAX};

/// The objects that the service's role owns: all of them, where the database was created by an earlier release. Each object changes its
/// owner in a transaction of its own, which leaves the service its rights and holds one lock. A sequence follows its table.
const OWNED_BY_SERVICE: &str = "SELECT o.identity, format('ALTER %s %s OWNER TO %I', o.type, o.identity, $2::text) \
    || CASE o.type WHEN 'table' THEN format('; GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE %s TO %I', o.identity, $1::text) \
    ELSE '' END FROM pg_shdepend d CROSS JOIN pg_identify_object(d.classid, d.objid, d.objsubid) o \
    WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    AND d.refclassid = 'pg_authid'::regclass AND d.refobjid = $1::text::regrole AND d.deptype = 'o' \
    AND o.type IN ('table', 'view', 'materialized view', 'sequence', 'type', 'function', 'procedure', 'aggregate', 'schema') \
    AND NOT (o.type = 'sequence' AND EXISTS (SELECT FROM pg_depend of WHERE of.classid = d.classid AND of.objid = d.objid \
    AND of.refobjsubid > 0 AND of.deptype IN ('a', 'i')))";

impl Session {
    /// In the database itself. The service keeps the rights that its running programs may need; `migrate` reduces them.
    pub(super) async fn hand_over(&self, one: &Owned) -> Result<(), ProvisionError> {
        let (database, service, owner) = (one.database(), one.role(), one.owner());
        self.run("wait for a migration", &format!("SELECT pg_advisory_lock({LOCK})")).await?;
        // One transaction: a right of the service that was granted before the change would become the owner's.
        let statements = format!(
            "ALTER DATABASE \"{database}\" OWNER TO \"{owner}\"; \
             REVOKE ALL ON DATABASE \"{database}\" FROM \"{service}\"; \
             GRANT CONNECT ON DATABASE \"{database}\" TO \"{service}\"; \
             REVOKE CREATE ON SCHEMA public FROM PUBLIC, \"{service}\"; \
             GRANT USAGE ON SCHEMA public TO \"{service}\""
        );
        self.run(&format!("make {owner} the owner of the database {database}"), &statements).await?;
        self.run("bound the wait for a table", LOCK_TIMEOUT).await?;
        let doing = || format!("look for what {service} owns");
        let owned = self.client.query(OWNED_BY_SERVICE, &[&service, &owner]).await;
        for row in owned.map_err(|error| refused(doing(), &error))? {
            self.hand_over_one(owner, row.get(0), row.get(1)).await?;
        }
        Ok(())
    }

    /// Retries while transactions hold the table.
    async fn hand_over_one(&self, owner: &str, name: &str, statements: &str) -> Result<(), ProvisionError> {
        let begun = Instant::now();
        loop {
            let Err(error) = self.client.batch_execute(statements).await else { return Ok(()) };
            let is_held = error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
            if !is_held || begun.elapsed() >= LOCK_TRIED_MAX {
                return Err(refused(format!("make {owner} the owner of {name}"), &error));
            }
            tracing::info!(name, "a table that gets another owner is held by a transaction; trying again");
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }
}
