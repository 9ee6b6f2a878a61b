//! Signing in and out.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jaego_web::StrictJson;
use jaego_web::problem::{Problem, ProblemKind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Face, State, not_found};
use crate::session::Session;

/// Delay of the answer to a wrong token: it slows down guessing, but not typing.
const WRONG_TOKEN_DELAY: Duration = Duration::from_millis(300);

#[derive(Deserialize)]
pub(super) struct SignIn {
    token: String,
}

/// The current session; having none is not an error.
pub(super) async fn get(request: HttpRequest, state: Data<State>, face: Data<Face>) -> HttpResponse {
    let session = state.session(**face, &request);
    no_store(&mut HttpResponse::Ok()).json(shown(session.as_ref()))
}

pub(super) async fn post(
    request: HttpRequest,
    state: Data<State>,
    face: Data<Face>,
    StrictJson(SignIn { token }): StrictJson<SignIn>,
) -> Result<HttpResponse, Problem> {
    let sessions = state.sessions(**face).ok_or_else(not_found)?;
    let address = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    if let Some(seconds) = state.attempts.must_wait_s(address, Instant::now()) {
        let detail = format!("There were too many wrong tokens; try again in {seconds} s.");
        return Err(Problem::new(ProblemKind::TooManyAttempts, detail).retry_after(seconds));
    }
    // Pasted text often ends with a line break.
    let Some((session, cookie)) = sessions.sign_in(token.trim()) else {
        state.attempts.failed(address, Instant::now());
        tracing::warn!(%address, "a wrong token was used to sign in");
        tokio::time::sleep(WRONG_TOKEN_DELAY).await;
        return Err(Problem::new(ProblemKind::Unauthorized, "This token is not known."));
    };
    tracing::info!(operator = session.name, %address, "signed in");
    let mut response = HttpResponse::Ok();
    response.insert_header((header::SET_COOKIE, cookie));
    Ok(no_store(&mut response).json(shown(Some(&session))))
}

pub(super) async fn delete(state: Data<State>, face: Data<Face>) -> Result<HttpResponse, Problem> {
    let sessions = state.sessions(**face).ok_or_else(not_found)?;
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::SET_COOKIE, sessions.sign_out()));
    Ok(no_store(&mut response).finish())
}

fn shown(session: Option<&Session>) -> Value {
    json!({ "operator": session.map(|session| json!({ "name": session.name, "role": session.role })) })
}

fn no_store(response: &mut actix_web::HttpResponseBuilder) -> &mut actix_web::HttpResponseBuilder {
    response.insert_header((header::CACHE_CONTROL, "no-store"))
}
