//! Signing in and out.

use std::time::{Duration, Instant};

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jaego_web::auth::Role;
use jaego_web::clients::Clients;
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::wrong_tokens::too_many_attempts;
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
pub(super) fn address_of(request: &HttpRequest) -> String {
    client_address(request).map_or_else(|| "unknown".to_owned(), |address| address.to_string())
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
    let client = Clients::limited(&request);
    if let Some(seconds) = client.and_then(|client| state.attempts.must_wait_s(client, Instant::now())) {
        return Err(too_many_attempts(seconds));
    }
    // Pasted text often ends with a line break.
    let signed_in = sessions.sign_in(token.trim(), address_of(&request), trace_of(&request)).await?;
    let Some((principal, cookie)) = signed_in else {
        if let Some(client) = client {
            state.attempts.failed(client, Instant::now());
        }
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
    let cookie = sessions.sign_out(&request, address_of(&request), trace_of(&request)).await?;
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::SET_COOKIE, cookie));
    Ok(no_store(&mut response).finish())
}

fn shown(operator: Option<(String, Role)>) -> Value {
    json!({ "operator": operator.map(|(name, role)| json!({ "name": name, "role": role })) })
}

pub(super) fn no_store(response: &mut actix_web::HttpResponseBuilder) -> &mut actix_web::HttpResponseBuilder {
    response.insert_header((header::CACHE_CONTROL, "no-store"))
}
