//! The HTTP edge: the endpoints of Jaego's own programs, and those of operators.

mod internal;
mod login;
mod sessions;
mod tokens;

use std::sync::Arc;

use actix_web::web::{self, Data};
use actix_web::{HttpRequest, Resource};
use jaego_contracts::trace::TraceContext;
use jaego_service::Routes;
use jaego_web::auth::{Operator, Role, Viewer};
use jaego_web::problem::{Problem, ProblemKind};
use jaego_web::{client_address, document, trace_of};

use crate::commands::{Asked, Context};
use crate::programs::Programs;

/// Headers with which the frontend hands on the address of a browser, and the proof that it is the frontend.
const SOURCE: &str = "jaego-source";
const PROGRAM: &str = "jaego-program";
/// Maximum length of an operator's reason, in characters.
const REASON_LENGTH_MAX: usize = 500;

/// State shared by all handlers.
pub(crate) struct State {
    pub(crate) context: Context,
    pub(crate) programs: Programs,
}

pub(crate) fn routes(state: State) -> Routes {
    let state = Data::new(state);
    Routes {
        public: Arc::new(|_| {}),
        operator: Arc::new(move |config| {
            config
                .app_data(state.clone())
                .service(tokens::list_tokens)
                .service(tokens::create_token)
                .service(tokens::revoke_token)
                .service(sessions::list_sessions)
                .service(sessions::end_session)
                .service(sessions::end_sessions);
            // These are no part of the documented API.
            config.map(|config| {
                config
                    .service(internal("introspect").route(web::post().to(internal::introspect)))
                    .service(internal("sessions").route(web::post().to(internal::sign_in)))
                    .service(internal("sessions/end").route(web::post().to(internal::sign_out)))
                    .service(internal("sign-ins/begin").route(web::post().to(internal::begin_sign_in)))
                    .service(internal("sign-ins/finish").route(web::post().to(internal::finish_sign_in)))
                    .service(web::resource("/login/begin").route(web::post().to(login::begin)))
                    .service(web::resource("/login/finish").route(web::post().to(login::finish)))
                    .service(web::resource("/login/end").route(web::post().to(login::end)))
            });
        }),
        drop_abandoned: false,
        serve_as: |_| None,
        document: document(
            "Jaego access-service",
            "Issues personal access tokens and sessions of operators, and ends them.",
        ),
    }
}

fn internal(path: &str) -> Resource {
    web::resource(format!("/internal/{path}"))
}

impl State {
    /// The address that a request comes from: for a request of the frontend, that of the browser.
    fn source(&self, request: &HttpRequest) -> String {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let from_program = header(PROGRAM).filter(|credential| self.programs.know(credential)).and(header(SOURCE));
        from_program.map_or_else(|| client_address(request).map_or_else(unknown, |client| client.to_string()), address)
    }
}

/// An address as a program has sent it.
fn address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| unknown(), |address| address.to_string())
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The person that sent the request, as the audit log names them.
struct By {
    operator: Operator,
    source: String,
    reason: Option<String>,
    trace: TraceContext,
}

impl By {
    fn of(state: &State, request: &HttpRequest, operator: Operator, reason: Option<String>) -> Result<Self, Problem> {
        if let Some(text) = &reason {
            check_reason(text)?;
        }
        Ok(Self { operator, source: state.source(request), reason, trace: trace_of(request) })
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            actor: &self.operator.name,
            credential: self.operator.credential,
            source: &self.source,
            reason: self.reason.as_deref(),
            trace: self.trace,
        }
    }
}

/// The person whose entries a list may show: an operator sees those of everyone.
fn shown_to(viewer: &Viewer) -> Option<&str> {
    (viewer.role < Role::Operator).then_some(viewer.name.as_str())
}

fn check_reason(text: &str) -> Result<(), Problem> {
    let must = match text {
        text if text.trim().is_empty() => "must not be empty",
        text if text.chars().count() > REASON_LENGTH_MAX => "must have at most 500 characters",
        text if text.contains('\0') => "must not contain a NUL character",
        _ => return Ok(()),
    };
    Err(invalid("reason", must))
}

fn invalid(field: &str, must: &str) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("{field}: {must}.")).with("field", field)
}
