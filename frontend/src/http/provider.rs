//! Signing in at the identity provider, with which access-service speaks.

use std::time::Instant;

use actix_web::http::header;
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};
use jaego_access::{SignInAnswer, SignInEnd, SignInRefusal};
use jaego_web::clients::Clients;
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::trace_of;
use serde::Deserialize;
use serde_json::json;

use super::session::{address_of, no_store};
use super::{Face, State, not_found};

/// The answer of the provider. It may have more parameters, which mean nothing here.
#[derive(Deserialize)]
pub(super) struct Returned {
    #[serde(default)]
    state: String,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

/// Begins a sign-in: answers the address at which the person signs in, and gives the browser the secret of this
/// sign-in. Only pages of this origin may do that, so nobody is signed in without wanting it.
pub(super) async fn begin(request: HttpRequest, state: Data<State>, face: Data<Face>) -> Result<HttpResponse, Problem> {
    let sessions = state.sessions(**face).filter(|_| !state.provider.is_empty()).ok_or_else(not_found)?;
    let (url, cookie) = sessions.begin_sign_in(trace_of(&request)).await?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::SET_COOKIE, cookie));
    Ok(no_store(&mut response).json(json!({ "url": url })))
}

/// The browser returns from the provider. Whatever comes of it, it goes to the console, which says why if the person is
/// not signed in: the address shows neither code nor state, and no text of the provider.
pub(super) async fn finish(
    request: HttpRequest,
    state: Data<State>,
    face: Data<Face>,
    returned: Query<Returned>,
) -> Result<HttpResponse, Problem> {
    let sessions = state.sessions(**face).filter(|_| !state.provider.is_empty()).ok_or_else(not_found)?;
    let client = Clients::limited(&request);
    if client.is_some_and(|client| state.attempts.must_wait_s(client, Instant::now()).is_some()) {
        return Ok(to_console("too-many-attempts", &[sessions.forget_sign_in()]));
    }
    let Returned { state: returned_state, code, error, iss } = returned.into_inner();
    // Without a cookie, access-service refuses and records it.
    let attempt = sessions.attempt_of(&request).unwrap_or_default().to_owned();
    let answer = SignInAnswer { attempt, state: returned_state, code, error, iss, source: address_of(&request) };
    match sessions.finish_sign_in(&answer, trace_of(&request)).await {
        Ok(SignInEnd::Begun(session)) => Ok(to_console("", &[sessions.forget_sign_in(), sessions.keep(&session)])),
        Ok(SignInEnd::Refused(refusal)) => {
            if let Some(client) = client {
                state.attempts.failed(client, Instant::now());
            }
            // A stray answer must not end a sign-in that is under way.
            let is_stray = refusal == SignInRefusal::NotBegun;
            let cookies = if is_stray { vec![] } else { vec![sessions.forget_sign_in()] };
            Ok(to_console(refusal.name(), &cookies))
        }
        Err(problem) if problem.kind() == ProblemKind::Unavailable => Ok(to_console("unavailable", &[])),
        Err(problem) => Err(problem),
    }
}

fn to_console(refusal: &str, cookies: &[String]) -> HttpResponse {
    let question = if refusal.is_empty() { "" } else { "?sign-in=" };
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, format!("/console{question}{refusal}")));
    for cookie in cookies {
        response.append_header((header::SET_COOKIE, cookie.as_str()));
    }
    no_store(&mut response).finish()
}
