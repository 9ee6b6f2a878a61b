//! Says who holds a credential that this service has issued.

use jaego_contracts::issued::{Issued, Kind};
use jaego_pg::StoreError;
use jaego_web::auth::{Credential, Introspect, Introspection, Principal, Role};

use super::Context;
use crate::domain::standing;
use crate::store;

/// Answers from the database itself, without remembering anything.
pub(crate) struct Introspector(pub(crate) Context);

impl Introspect for Introspector {
    fn introspect(&self, issued: Issued) -> Introspection<'_> {
        Box::pin(async move { Ok(self.0.holder(issued).await?) })
    }
}

impl Context {
    /// The holder of a credential; None if it is unknown, has ended, or its holder has no access any more.
    pub(crate) async fn holder(&self, issued: Issued) -> Result<Option<Principal>, StoreError> {
        let mut connection = self.pool.get().await?;
        match issued.kind {
            Kind::Token => {
                let Some(found) = store::tokens::find_valid(&mut connection, &issued.digest).await? else {
                    return Ok(None);
                };
                let issued: Role = found.role.parse().map_err(store::unreadable)?;
                let now = standing(issued, self.configured.role_of(&found.person));
                let credential = Credential::Token(found.id);
                Ok(now.map(|role| Principal { name: found.person, role, credential }))
            }
            Kind::Session => {
                let Some(found) = store::sessions::find_valid(&mut connection, &issued.digest).await? else {
                    return Ok(None);
                };
                let holder = self.configured.find_digest(&found.configured_digest);
                let credential = Credential::Session(found.id);
                Ok(holder.map(|own| Principal { name: own.name().to_owned(), role: own.role(), credential }))
            }
        }
    }
}
