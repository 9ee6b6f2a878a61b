//! Operators' endpoints and their wire types.

mod factories;
mod factory_body;
mod production_requests;
mod timeline;
mod words;

use jaego_web::problem::{Problem, ProblemKind};
use utoipa::openapi::OpenApi;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::commands::CommandError;

/// Registers all endpoints. The commands' `Context` and `Outbound` must be registered as application data.
pub fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(production_requests::list)
        .service(production_requests::get)
        .service(production_requests::retry)
        .service(production_requests::cancel)
        .service(factories::list)
        .service(factories::get)
        .service(factories::put)
        .service(timeline::get_timeline);
}

/// Title and description of the OpenAPI document.
pub fn document() -> OpenApi {
    jaego_web::document(
        "Jaego production-service",
        "Production requests and the factories that answer them. For operators.",
    )
}

fn not_found(what: &str) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("There is no such {what}."))
}

fn problem_of<R>(error: CommandError<R>, rejected: impl FnOnce(R) -> Problem) -> Problem {
    match error {
        CommandError::Rejected(rejection) => rejected(rejection),
        CommandError::Store(error) => error.into(),
    }
}

fn invalid(field: &str, expected: &str) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, format!("{field}: {expected}.")).with("field", field)
}
