//! Keeps the role of a person what the identity provider says, while a credential of theirs is used.

use std::time::{Duration, Instant};

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_contracts::trace::TraceContext;
use jaego_oidc::Error;
use jaego_pg::StoreError;
use jaego_service::audit_log::{self, Action};
use jaego_web::auth::Role;
use jaego_web::problem::{Problem, ProblemKind};
use serde_json::json;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::{Context, NOBODY};
use crate::identity_provider::IdentityProvider;
use crate::settings::Oidc;
use crate::store;
use crate::store::people::Check;

/// Age from which an answer of the provider is renewed, seconds. Requests do not wait for that.
const CHECK_AFTER_S: i32 = 20;
/// Age from which an answer is not relied on, except while the provider is away, seconds. With the time for which
/// services remember an answer, someone who was removed is out within a minute.
const STALE_AFTER_S: f64 = 45.0;
/// Maximum time of a check.
const CHECK_MAX: Duration = Duration::from_secs(20);
/// Time for which other processes leave a check to the one that began it, seconds; longer than the check.
const LEASE_S: i32 = 30;
/// Maximum wait of a request for a check, shorter than the callers' access.timeout_ms.
const WAIT_MAX: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// `Retry-After` when it cannot be found out, seconds.
const RETRY_AFTER_S: u32 = 2;

impl Context {
    /// Name and role that a person has now; None if the person has no access any more.
    pub(super) async fn person(&self, id: Uuid) -> Result<Option<(String, Role)>, Problem> {
        let Some(provider) = &self.provider else { return Ok(None) };
        let Oidc { issuer, grace_s, .. } = &provider.settings;
        let deadline = Instant::now() + WAIT_MAX;
        let mut is_asked = false;
        loop {
            let mut connection = self.pool.get().await.map_err(StoreError::from)?;
            let Some(known) = store::people::standing(&mut connection, id, issuer).await? else { return Ok(None) };
            let Some(role) = known.role else { return Ok(None) };
            drop(connection);
            if known.age_s >= f64::from(CHECK_AFTER_S) && !is_asked {
                is_asked = true;
                let context = self.clone();
                // It goes on when the caller does not wait.
                tokio::spawn(async move { context.check_person(id, CHECK_AFTER_S).await });
            }
            let is_in_grace = known.is_provider_away && known.age_s < f64::from(*grace_s);
            if known.age_s < STALE_AFTER_S || is_in_grace {
                return Ok(Some((known.name, role.parse().map_err(store::unreadable)?)));
            }
            if Instant::now() >= deadline {
                let detail = "The identity provider does not answer, so it is not known whether this person still has \
                              access; try again in a moment.";
                return Err(Problem::new(ProblemKind::Unavailable, detail).retry_after(RETRY_AFTER_S));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asks the provider about a person if the last answer has this age, unless another process does.
    pub(super) async fn check_person(&self, id: Uuid, age_s: i32) {
        if let Err(error) = self.try_check_person(id, age_s).await {
            tracing::warn!(%error, person = %id, "a person cannot be checked now");
        }
    }

    async fn try_check_person(&self, id: Uuid, age_s: i32) -> Result<(), StoreError> {
        let Some(provider) = &self.provider else { return Ok(()) };
        let begun = store::people::begin_check(&mut *self.pool.get().await?, id, age_s, LEASE_S).await?;
        let Some(check) = begun else { return Ok(()) };
        let found = timeout(CHECK_MAX, ask(provider, id, &check)).await;
        let found = found.unwrap_or_else(|_| Err(Error::Unavailable("it did not answer in time".to_owned())));
        let mut connection = self.pool.get().await?;
        match found {
            Ok((role, sealed)) => {
                store::people::pass(&mut connection, id, &check.lease, role.name(), &sealed).await?;
            }
            Err(Error::Unavailable(cause)) => {
                tracing::warn!(person = check.name, cause, "the identity provider cannot be asked about a person");
                store::people::fail(&mut connection, id, &check.lease).await?;
            }
            Err(Error::Refused(cause)) => {
                tracing::info!(person = check.name, cause, "a person has no access any more");
                connection.transaction(async |connection| remove(connection, id, &check, &cause).await).await?;
            }
        }
        Ok(())
    }
}

/// The role of a person now, and their sealed new tokens.
async fn ask(provider: &IdentityProvider, id: Uuid, check: &Check) -> Result<(Role, Vec<u8>), Error> {
    let refused = |cause: &str| Error::Refused(cause.to_owned());
    let client = provider.client(&check.client).ok_or_else(|| refused("oidc.cli_client_id is not set any more"))?;
    let tokens = check.sealed_grant.as_ref().and_then(|sealed| provider.open(id, sealed));
    let tokens = tokens.ok_or_else(|| refused("oidc.sealing_key has changed"))?;
    let wanted = [provider.settings.groups_claim.as_str()];
    let grant = provider.provider.ask_again(client, tokens, &check.subject, &wanted).await?;
    let role = provider.role(&grant.claims).ok_or_else(|| refused("no group of the person gives a role"))?;
    Ok((role, provider.close(id, &grant)?))
}

/// Ends the access of a person. Their personal access tokens stay, and are valid again after a sign-in.
async fn remove(connection: &mut AsyncPgConnection, id: Uuid, check: &Check, cause: &str) -> Result<(), StoreError> {
    store::lock_person(connection, &check.name).await?;
    if !store::people::remove(connection, id, &check.lease).await? {
        return Ok(());
    }
    let trace = TraceContext::new_root();
    let mut entries = vec![("person.remove", check.name.clone(), json!({ "because": cause }))];
    for ended in store::sessions::end_all(connection, &check.name, 0, NOBODY).await? {
        entries.push(("session.end", ended.id.to_string(), json!({ "person": check.name, "because": cause })));
    }
    for (action, subject, detail) in entries {
        let action = Action { actor: NOBODY, action, subject: &subject, reason: None, detail, trace };
        audit_log::record(connection, &action).await?;
    }
    Ok(())
}
