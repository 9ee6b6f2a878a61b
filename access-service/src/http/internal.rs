//! Endpoints of Jaego's own programs, which prove themselves with `programs.credentials`.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jaego_access::{Introspected, SignIn, SignInAnswer, SignOut};
use jaego_contracts::issued::Issued;
use jaego_web::auth::{Authenticator, Credential, bearer_of};
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{StrictJson, trace_of};

use super::{State, address};
use crate::commands::Asked;
use crate::commands::begin_session::begin_session;
use crate::commands::end_sessions;
use crate::commands::sign_in as command;
use crate::identity_provider::Registration;

fn admit(state: &State, request: &HttpRequest) -> Result<(), Problem> {
    if bearer_of(request).is_some_and(|credential| state.programs.know(credential)) {
        return Ok(());
    }
    if let Some(authenticator) = request.app_data::<Data<Authenticator>>() {
        authenticator.wrong().note(request);
    }
    Err(Problem::new(ProblemKind::Unauthorized, "This endpoint is for Jaego's own programs (access.credential)."))
}

fn answer(body: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

pub(super) async fn introspect(
    request: HttpRequest,
    state: Data<State>,
    body: StrictJson<Issued>,
) -> Result<HttpResponse, Problem> {
    admit(&state, &request)?;
    let principal = state.context.holder(body.0).await?;
    Ok(answer(&Introspected { principal }))
}

/// Answers null for an unknown token.
pub(super) async fn sign_in(
    request: HttpRequest,
    state: Data<State>,
    body: StrictJson<SignIn>,
) -> Result<HttpResponse, Problem> {
    admit(&state, &request)?;
    let SignIn { token, source } = body.0;
    let begun = begin_session(&state.context, &token, &address(&source), trace_of(&request)).await?;
    Ok(answer(&begun.map(|begun| begun.into_new_session(state.context.sessions.ttl_s))))
}

/// Begins a sign-in of the console at the identity provider.
pub(super) async fn begin_sign_in(
    request: HttpRequest,
    state: Data<State>,
    _: StrictJson<()>,
) -> Result<HttpResponse, Problem> {
    admit(&state, &request)?;
    Ok(answer(&command::begin(&state.context, Registration::Console).await?))
}

pub(super) async fn finish_sign_in(
    request: HttpRequest,
    state: Data<State>,
    body: StrictJson<SignInAnswer>,
) -> Result<HttpResponse, Problem> {
    admit(&state, &request)?;
    let source = address(&body.0.source);
    let (registration, trace) = (Registration::Console, trace_of(&request));
    Ok(answer(&command::finish(&state.context, registration, &body.0, &source, trace).await?))
}

pub(super) async fn sign_out(
    request: HttpRequest,
    state: Data<State>,
    body: StrictJson<SignOut>,
) -> Result<HttpResponse, Problem> {
    admit(&state, &request)?;
    let SignOut { session, source } = body.0;
    let source = address(&source);
    let asked = Asked {
        // The person is known by the session.
        actor: "",
        credential: Credential::Configured,
        source: &source,
        reason: None,
        trace: trace_of(&request),
    };
    end_sessions::sign_out(&state.context, session, asked).await?;
    Ok(answer(&()))
}
