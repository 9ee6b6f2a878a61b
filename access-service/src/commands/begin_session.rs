//! A person signs in with a configured token.

use std::time::Instant;

use diesel_async::AsyncConnection;
use jaego_contracts::issued::{Issued, Kind};
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use jaego_service::audit_log::{self, Action};
use jaego_web::auth::{Credential, Principal};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Asked, Context};
use crate::store;
use crate::store::sessions::NewSession;

/// Actor in the audit log of one who is not known.
const NOBODY: &str = "-";

/// A session that has begun.
pub(crate) struct Begun {
    /// The credential, which is known to no one else.
    pub(crate) session: String,
    pub(crate) principal: Principal,
}

/// Begins a session; None for an unknown token. Personal access tokens are for programs: a session begun with one
/// could outlive it.
pub(crate) async fn begin_session(
    context: &Context,
    token: &str,
    source: &str,
    trace: TraceContext,
) -> Result<Option<Begun>, StoreError> {
    let configured_digest: [u8; 32] = Sha256::digest(token).into();
    let Some(known) = context.configured.find_digest(&configured_digest) else {
        refuse(context, source, trace).await?;
        return Ok(None);
    };
    let (person, role) = (known.name(), known.role());
    let session = Issued::text(Kind::Session, rand::random());
    let Some(issued) = Issued::of_text(&session) else {
        return Err(store::unreadable("a session that was just made is not recognized"));
    };
    let (ttl_s, limit) = (context.sessions.ttl_s, context.sessions.per_person_max);
    let mut connection = context.pool.get().await?;
    let begun = connection.transaction(async |connection| {
        store::lock_person(connection, person).await?;
        let new = NewSession { digest: &issued.digest, person, configured_digest: &configured_digest, source, ttl_s };
        let row = store::sessions::insert(connection, &new).await?;
        let asked = Asked { actor: person, credential: Credential::Configured, source, reason: None, trace };
        asked.record(connection, "session.begin", &row.id.to_string(), json!({"with": "token"})).await?;
        for ended in store::sessions::end_all(connection, person, limit, person).await? {
            let detail = json!({"person": person, "because": "sessions.per_person_max"});
            asked.record(connection, "session.end", &ended.id.to_string(), detail).await?;
        }
        Ok::<_, StoreError>(row)
    });
    let row = begun.await?;
    tracing::info!(person, source, session = %row.id, "signed in");
    let principal = Principal { name: person.to_owned(), role, credential: Credential::Session(row.id) };
    Ok(Some(Begun { session, principal }))
}

async fn refuse(context: &Context, source: &str, trace: TraceContext) -> Result<(), StoreError> {
    tracing::warn!(source, "a sign-in was refused: unknown token");
    if !context.refusals.admit(Instant::now()) {
        return Ok(());
    }
    let detail = json!({"source": source, "because": "unknown token"});
    let action = Action { actor: NOBODY, action: "session.refuse", subject: source, reason: None, detail, trace };
    audit_log::record(&mut *context.pool.get().await?, &action).await
}
