//! Signing in and out.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jaego_web::auth::Role;
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{StrictJson, client_address, trace_of};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Face, State, not_found};

/// Delay of the answer to a wrong token: it slows down guessing, but not typing.
const WRONG_TOKEN_DELAY: Duration = Duration::from_millis(300);

#[derive(Deserialize)]
pub(super) struct SignIn {
    token: String,
}

/// The address of the browser, as far as it is known.
pub(super) fn address_of(request: &HttpRequest) -> IpAddr {
    client_address(request).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// The current session; having none is not an error.
pub(super) async fn get(request: HttpRequest, state: Data<State>, face: Data<Face>) -> Result<HttpResponse, Problem> {
    let session = state.session(**face, &request).await?;
    Ok(no_store(&mut HttpResponse::Ok()).json(shown(session.map(|session| (session.name, session.role)))))
}

pub(super) async fn post(
    request: HttpRequest,
    state: Data<State>,
    face: Data<Face>,
    StrictJson(SignIn { token }): StrictJson<SignIn>,
) -> Result<HttpResponse, Problem> {
    let sessions = state.sessions(**face).ok_or_else(not_found)?;
    let address = address_of(&request);
    if let Some(seconds) = state.attempts.must_wait_s(address, Instant::now()) {
        let detail = format!("There were too many wrong tokens; try again in {seconds} s.");
        return Err(Problem::new(ProblemKind::TooManyAttempts, detail).retry_after(seconds));
    }
    // Pasted text often ends with a line break.
    let signed_in = sessions.sign_in(token.trim(), address.to_string(), trace_of(&request)).await?;
    let Some((principal, cookie)) = signed_in else {
        state.attempts.failed(address, Instant::now());
        tokio::time::sleep(WRONG_TOKEN_DELAY).await;
        return Err(Problem::new(ProblemKind::Unauthorized, "This token is not known."));
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((header::SET_COOKIE, cookie));
    Ok(no_store(&mut response).json(shown(Some((principal.name, principal.role)))))
}

/// The session is over when this is answered with a success, and only then.
pub(super) async fn delete(
    request: HttpRequest,
    state: Data<State>,
    face: Data<Face>,
) -> Result<HttpResponse, Problem> {
    let sessions = state.sessions(**face).ok_or_else(not_found)?;
    let cookie = sessions.sign_out(&request, address_of(&request).to_string(), trace_of(&request)).await?;
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::SET_COOKIE, cookie));
    Ok(no_store(&mut response).finish())
}

fn shown(operator: Option<(String, Role)>) -> Value {
    json!({ "operator": operator.map(|(name, role)| json!({ "name": name, "role": role })) })
}

fn no_store(response: &mut actix_web::HttpResponseBuilder) -> &mut actix_web::HttpResponseBuilder {
    response.insert_header((header::CACHE_CONTROL, "no-store"))
}
