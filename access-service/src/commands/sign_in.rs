//! A person signs in at the identity provider.

use diesel_async::{AsyncConnection, AsyncPgConnection};
use jaego_access::{SignInAnswer, SignInBegun, SignInEnd, SignInRefusal};
use jaego_contracts::trace::TraceContext;
use jaego_oidc::Error;
use jaego_oidc::attempt::Attempt;
use jaego_oidc::provider::{Answer, Grant};
use jaego_pg::StoreError;
use jaego_web::problem::{Problem, ProblemKind};
use uuid::Uuid;

use super::Context;
use super::begin_session::{Beginning, insert, refuse};
use crate::identity_provider::{IdentityProvider, Registration};
use crate::store;
use crate::store::people::{self, Person};
use crate::store::sessions::{ONE_SIGN_IN, With};

/// `Retry-After` when the provider does not answer, seconds.
const RETRY_AFTER_S: u32 = 5;

/// Begins a sign-in, of which nothing is stored.
pub(crate) async fn begin(context: &Context, registration: Registration) -> Result<SignInBegun, Problem> {
    let provider = provider(context)?;
    let attempt = Attempt::new(rand::random());
    let url = provider
        .with_request(registration, async |request| provider.provider.authorization_url(&request, &attempt).await)
        .await
        .ok_or_else(not_offered)?;
    Ok(SignInBegun { attempt: attempt.text(), url: url.map_err(unavailable)? })
}

/// Finishes a sign-in: begins a session, or records why not.
pub(crate) async fn finish(
    context: &Context,
    registration: Registration,
    answer: &SignInAnswer,
    source: &str,
    trace: TraceContext,
) -> Result<SignInEnd, Problem> {
    let provider = provider(context)?;
    match try_finish(context, provider, registration, answer, source, trace).await? {
        Ok(begun) => Ok(begun),
        Err((refusal, cause)) => {
            tracing::warn!(source, refusal = refusal.name(), cause, "a sign-in at the identity provider was refused");
            refuse(context, source, refusal.name(), trace).await?;
            Ok(SignInEnd::Refused(refusal))
        }
    }
}

type Finished = Result<SignInEnd, (SignInRefusal, String)>;

async fn try_finish(
    context: &Context,
    provider: &IdentityProvider,
    registration: Registration,
    answer: &SignInAnswer,
    source: &str,
    trace: TraceContext,
) -> Result<Finished, Problem> {
    let refused = |refusal: SignInRefusal, cause: &str| Ok(Err((refusal, cause.to_owned())));
    let Some(attempt) = Attempt::of_text(&answer.attempt).filter(|attempt| attempt.has_state(&answer.state)) else {
        return refused(SignInRefusal::NotBegun, "this browser has not begun it");
    };
    let code = match (&answer.error, &answer.code) {
        (Some(error), _) if error == "access_denied" => return refused(SignInRefusal::Denied, "access_denied"),
        (Some(_), _) | (None, None) => return refused(SignInRefusal::ProviderError, "the provider sent an error"),
        (None, Some(code)) => code,
    };
    let redeemed = provider.with_request(registration, async |request| {
        let returned = Answer { state: &answer.state, code, issuer: answer.iss.as_deref() };
        provider.provider.redeem(&request, &attempt, &returned, &provider.wanted()).await
    });
    let described = match redeemed.await.ok_or_else(not_offered)? {
        Ok(grant) => provider.name(&grant.claims).map(|name| (grant, name)),
        Err(error) => Err(error),
    };
    let (grant, name) = match described {
        Ok(described) => described,
        Err(Error::Refused(cause)) => return Ok(Err((SignInRefusal::NotAccepted, cause))),
        Err(error) => return Err(unavailable(error)),
    };
    let Some(role) = provider.role(&grant.claims) else {
        return Ok(Err((SignInRefusal::NoRole, format!("no group of {name} gives a role"))));
    };
    check_predecessor(context, provider, &grant, &name).await?;
    let person = Person {
        issuer: &provider.settings.issuer,
        subject: &grant.subject,
        name: &name,
        role: role.name(),
        client: registration.name(),
    };
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let sign_in_digest = attempt.digest();
    let begun = connection
        .transaction(async |connection| {
            store::lock_person(connection, &name).await?;
            let person_id = put_person(connection, provider, &person, &grant).await?;
            let with = With::Provider { person_id, sign_in_digest: &sign_in_digest };
            let beginning = Beginning { person: &name, role, with, source, trace };
            insert(context, connection, &beginning).await
        })
        .await;
    match begun {
        Ok(begun) => Ok(Ok(SignInEnd::Begun(begun.into_new_session(context.sessions.ttl_s)))),
        Err(error) if error.violates(ONE_SIGN_IN) => refused(SignInRefusal::NotBegun, "it was finished before"),
        Err(error) if error.violates(people::ONE_NAME) => {
            refused(SignInRefusal::NameTaken, "someone else has the name")
        }
        Err(error) => Err(error.into()),
    }
}

/// The provider may have given the name of someone who has left to a successor. Whether the earlier person has left is
/// asked now; if so, the name is free.
async fn check_predecessor(
    context: &Context,
    provider: &IdentityProvider,
    grant: &Grant,
    name: &str,
) -> Result<(), Problem> {
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let earlier = people::named(&mut connection, name).await?.filter(|earlier| earlier.subject != grant.subject);
    drop(connection);
    let Some(earlier) = earlier else { return Ok(()) };
    if earlier.role.is_some() {
        context.check_person(earlier.id, 0).await;
    }
    let mut connection = context.pool.get().await.map_err(StoreError::from)?;
    let freed = connection.transaction(async |connection| {
        store::lock_person(connection, name).await?;
        let left = people::standing(connection, earlier.id, &provider.settings.issuer).await?;
        if left.is_none_or(|left| left.role.is_none()) {
            people::rename(connection, earlier.id, &format!("{name} (until {})", earlier.id)).await?;
        }
        Ok::<_, StoreError>(())
    });
    Ok(freed.await?)
}

/// Notes what the provider says of the person, and returns the person's id.
async fn put_person(
    connection: &mut AsyncPgConnection,
    provider: &IdentityProvider,
    person: &Person<'_>,
    grant: &Grant,
) -> Result<Uuid, StoreError> {
    let known = people::find(connection, person.issuer, person.subject).await?;
    let id = known.as_ref().map_or_else(Uuid::now_v7, |known| known.id);
    if known.is_some_and(|known| known.name != person.name) {
        people::rename(connection, id, person.name).await?;
    }
    let sealed = provider.close(id, grant).map_err(store::unreadable)?;
    people::put(connection, id, person, &sealed).await?;
    Ok(id)
}

fn provider(context: &Context) -> Result<&IdentityProvider, Problem> {
    context.provider.as_deref().ok_or_else(not_offered)
}

fn not_offered() -> Problem {
    Problem::new(ProblemKind::NotFound, "Sign-in at an identity provider is not configured (oidc.issuer).")
}

fn unavailable(error: Error) -> Problem {
    tracing::warn!(%error, "the identity provider cannot be asked");
    let detail = "The identity provider does not answer as it must; try again in a moment. The log says more.";
    Problem::new(ProblemKind::Unavailable, detail).retry_after(RETRY_AFTER_S)
}
