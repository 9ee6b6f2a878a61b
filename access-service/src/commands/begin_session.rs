//! A person signs in with a configured token, or has signed in at the identity provider.

use std::time::Instant;

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_access::NewSession;
use jaego_contracts::issued::{Issued, Kind};
use jaego_contracts::trace::TraceContext;
use jaego_pg::StoreError;
use jaego_service::audit_log::{self, Action};
use jaego_web::auth::{Credential, Principal, Role};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Asked, Context, NOBODY};
use crate::store;
use crate::store::sessions::{self, With};

/// A session that has begun.
pub(crate) struct Begun {
    /// The credential, which is known to no one else.
    session: String,
    principal: Principal,
}

impl Begun {
    pub(crate) fn into_new_session(self, ttl_s: i32) -> NewSession {
        NewSession { session: self.session, principal: self.principal, ttl_s }
    }
}

/// A session to begin.
pub(super) struct Beginning<'a> {
    pub(super) person: &'a str,
    pub(super) role: Role,
    pub(super) with: With<'a>,
    pub(super) source: &'a str,
    pub(super) trace: TraceContext,
}

/// Begins a session; None for an unknown token. Personal access tokens are for programs: a session begun with one
/// could outlive it.
pub(crate) async fn begin_session(
    context: &Context,
    token: &str,
    source: &str,
    trace: TraceContext,
) -> Result<Option<Begun>, StoreError> {
    let digest: [u8; 32] = Sha256::digest(token).into();
    let Some(known) = context.configured.find_digest(&digest) else {
        tracing::warn!(source, "a sign-in was refused: unknown token");
        refuse(context, source, "unknown token", trace).await?;
        return Ok(None);
    };
    let (person, role) = (known.name(), known.role());
    let beginning = Beginning { person, role, with: With::Configured { digest: &digest }, source, trace };
    let mut connection = context.pool.get().await?;
    let begun = connection.transaction(async |connection| {
        store::lock_person(connection, person).await?;
        insert(context, connection, &beginning).await
    });
    Ok(Some(begun.await?))
}

/// Begins the session of a person who is locked, and ends the oldest ones beyond the limit.
pub(super) async fn insert(
    context: &Context,
    connection: &mut AsyncPgConnection,
    beginning: &Beginning<'_>,
) -> Result<Begun, StoreError> {
    let Beginning { person, role, with, source, trace } = *beginning;
    let session = Issued::text(Kind::Session, rand::random());
    let Some(issued) = Issued::of_text(&session) else {
        return Err(store::unreadable("a session that was just made is not recognized"));
    };
    let (ttl_s, limit) = (context.sessions.ttl_s, context.sessions.per_person_max);
    let new = sessions::NewSession { digest: &issued.digest, person, with, source, ttl_s };
    let row = sessions::insert(connection, &new).await?;
    let (credential, means) = match with {
        With::Configured { .. } => (Credential::Configured, "token"),
        With::Provider { .. } => (Credential::Session(row.id), "identity provider"),
    };
    let asked = Asked { actor: person, credential, source, reason: None, trace };
    asked.record(connection, "session.begin", &row.id.to_string(), json!({ "with": means })).await?;
    for ended in sessions::end_all(connection, person, limit, person).await? {
        let detail = json!({"person": person, "because": "sessions.per_person_max"});
        asked.record(connection, "session.end", &ended.id.to_string(), detail).await?;
    }
    tracing::info!(person, source, session = %row.id, "signed in");
    let principal = Principal { name: person.to_owned(), role, credential: Credential::Session(row.id) };
    Ok(Begun { session, principal })
}

/// Records a sign-in that was refused.
pub(super) async fn refuse(
    context: &Context,
    source: &str,
    because: &str,
    trace: TraceContext,
) -> Result<(), StoreError> {
    if !context.refusals.admit(Instant::now()) {
        return Ok(());
    }
    let detail = json!({"source": source, "because": because});
    let action = Action { actor: NOBODY, action: "session.refuse", subject: source, reason: None, detail, trace };
    audit_log::record(&mut *context.pool.get().await?, &action).await
}
