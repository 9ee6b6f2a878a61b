//! Says who holds a credential that this service has issued.

use jaego_contracts::issued::{Issued, Kind};
use jaego_pg::StoreError;
use jaego_web::auth::{Credential, Introspect, Introspection, Principal, Role};
use jaego_web::problem::Problem;

use super::Context;
use crate::domain::standing;
use crate::store;

/// Answers from the database itself, without remembering anything.
pub(crate) struct Introspector(pub(crate) Context);

impl Introspect for Introspector {
    fn introspect(&self, issued: Issued) -> Introspection<'_> {
        Box::pin(self.0.holder(issued))
    }
}

impl Context {
    /// The holder of a credential; None if it is unknown, has ended, or its holder has no access any more.
    pub(crate) async fn holder(&self, issued: Issued) -> Result<Option<Principal>, Problem> {
        let mut connection = self.pool.get().await.map_err(StoreError::from)?;
        match issued.kind {
            Kind::Token => {
                let Some(found) = store::tokens::find_valid(&mut connection, &issued.digest).await? else {
                    return Ok(None);
                };
                drop(connection);
                let issued: Role = found.role.parse().map_err(store::unreadable)?;
                let of_holder = match found.person_id {
                    Some(id) => self.person(id).await?.map(|(_, role)| role),
                    None => self.configured.role_of(&found.person),
                };
                let credential = Credential::Token(found.id);
                Ok(standing(issued, of_holder).map(|role| Principal { name: found.person, role, credential }))
            }
            Kind::Session => {
                let Some(found) = store::sessions::find_valid(&mut connection, &issued.digest).await? else {
                    return Ok(None);
                };
                drop(connection);
                let holder = match (found.person_id, &found.configured_digest) {
                    (Some(id), _) => self.person(id).await?,
                    (None, Some(digest)) => {
                        self.configured.find_digest(digest).map(|own| (own.name().to_owned(), own.role()))
                    }
                    (None, None) => None,
                };
                let credential = Credential::Session(found.id);
                Ok(holder.map(|(name, role)| Principal { name, role, credential }))
            }
        }
    }
}
