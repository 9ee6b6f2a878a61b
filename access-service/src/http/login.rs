//! `jaegoctl login`: a sign-in at the identity provider by a program on the person's own machine. Anyone may begin one.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jaego_access::SignInAnswer;
use jaego_contracts::issued::{Issued, Kind};
use jaego_web::auth::{Credential, bearer_of};
use jaego_web::problem::Problem;
use jaego_web::{StrictJson, trace_of};
use serde::{Deserialize, Serialize};

use super::{State, invalid};
use crate::commands::{Asked, end_sessions, sign_in as command};
use crate::identity_provider::Registration;

/// Ports below are reserved to the administrator of a machine.
const PORT_MIN: u16 = 1024;

#[derive(Deserialize)]
pub(super) struct Begin {
    port: u16,
}

#[derive(Deserialize)]
pub(super) struct Finish {
    port: u16,
    attempt: String,
    state: String,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

pub(super) async fn begin(state: Data<State>, body: StrictJson<Begin>) -> Result<HttpResponse, Problem> {
    let registration = registration(body.0.port)?;
    Ok(answer(&command::begin(&state.context, registration).await?))
}

pub(super) async fn finish(
    request: HttpRequest,
    state: Data<State>,
    body: StrictJson<Finish>,
) -> Result<HttpResponse, Problem> {
    let Finish { port, attempt, state: returned, code, error, iss } = body.0;
    let (registration, source) = (registration(port)?, state.source(&request));
    let answered = SignInAnswer { attempt, state: returned, code, error, iss, source: source.clone() };
    let end = command::finish(&state.context, registration, &answered, &source, trace_of(&request)).await?;
    Ok(answer(&end))
}

/// Ends the session with which the request is made; whoever has a session may end it.
pub(super) async fn end(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Problem> {
    let session = bearer_of(&request).and_then(Issued::of_text).filter(|issued| issued.kind == Kind::Session);
    if let Some(session) = session {
        let source = state.source(&request);
        let (credential, trace) = (Credential::Configured, trace_of(&request));
        // The person is known by the session.
        let asked = Asked { actor: "", credential, source: &source, reason: None, trace };
        end_sessions::sign_out(&state.context, session, asked).await?;
    }
    Ok(answer(&()))
}

fn registration(port: u16) -> Result<Registration, Problem> {
    if port >= PORT_MIN { Ok(Registration::Cli { port }) } else { Err(invalid("port", "must be 1024 to 65535")) }
}

fn answer(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}
