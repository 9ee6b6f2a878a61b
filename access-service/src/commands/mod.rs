//! Use cases.

pub(crate) mod begin_session;
mod check_person;
pub(crate) mod create_token;
pub(crate) mod end_sessions;
mod introspect;
pub(crate) mod list;
pub(crate) mod prune;
mod refusals;
pub(crate) mod revoke_token;
pub(crate) mod sign_in;

use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use jaego_contracts::trace::TraceContext;
use jaego_pg::{Pool, StoreError};
use jaego_service::audit_log::{self, Action};
use jaego_web::auth::{Credential, OperatorTokens};
use serde_json::Value;

pub(crate) use crate::domain::check_name;
use crate::identity_provider::IdentityProvider;
use crate::settings;
pub(crate) use introspect::Introspector;
use refusals::Refusals;

/// Actor in the audit log of one who is not known, and of the identity provider.
const NOBODY: &str = "-";

/// Dependencies of all commands.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) pool: Pool,
    pub(crate) configured: OperatorTokens,
    pub(crate) tokens: settings::Tokens,
    pub(crate) sessions: settings::Sessions,
    /// Refused sign-ins that were recorded lately.
    pub(crate) refusals: Arc<Refusals>,
    /// None if people sign in with configured tokens only.
    pub(crate) provider: Option<Arc<IdentityProvider>>,
}

/// The person that asks for a change, and how.
pub(crate) struct Asked<'a> {
    pub(crate) actor: &'a str,
    pub(crate) credential: Credential,
    /// Address that the request comes from.
    pub(crate) source: &'a str,
    /// The reason, where the endpoint takes one.
    pub(crate) reason: Option<&'a str>,
    pub(crate) trace: TraceContext,
}

impl Asked<'_> {
    /// Records the action in the audit log, with the address that it came from.
    async fn record(
        &self,
        connection: &mut AsyncPgConnection,
        action: &'static str,
        subject: &str,
        mut detail: Value,
    ) -> Result<(), StoreError> {
        detail["source"] = self.source.into();
        let (actor, reason, trace) = (self.actor, self.reason, self.trace);
        audit_log::record(connection, &Action { actor, action, subject, reason, detail, trace }).await
    }
}
