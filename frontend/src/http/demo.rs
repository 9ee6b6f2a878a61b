//! Controls of the factory simulator, if there is one.

use actix_web::http::Method;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use jaego_web::auth::Role;
use jaego_web::problem::Problem;

use super::{Face, State, body_of, not_found};
use crate::forward::Target;

/// Forwards a request to the simulator: its faults, its requests and callbacks, repeating a callback.
pub(super) async fn forward(
    request: HttpRequest,
    state: Data<State>,
    face: Data<Face>,
    path: Path<String>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let factory = state.factory.as_ref().ok_or_else(not_found)?;
    let path = of_simulator(request.method(), &path).ok_or_else(not_found)?;
    state.need(**face, &request, Role::Operator).await?;
    let target = Target { base_url: &factory.url, path: &path, token: None, further: &[] };
    factory.upstream.send(&request, body_of(&request, body), target).await
}

fn of_simulator(method: &Method, path: &str) -> Option<String> {
    match (method, path) {
        (&Method::GET | &Method::PUT | &Method::DELETE, "faults") | (&Method::GET, "requests" | "callbacks") => {
            Some(format!("/sim/{path}"))
        }
        (&Method::POST, path) => {
            let index: u32 = path.strip_prefix("callbacks/")?.strip_suffix("/repeat")?.parse().ok()?;
            Some(format!("/sim/callbacks/{index}/repeat"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_demo_routes_are_forwarded() {
        assert_eq!(of_simulator(&Method::PUT, "faults").as_deref(), Some("/sim/faults"));
        assert_eq!(of_simulator(&Method::POST, "callbacks/3/repeat").as_deref(), Some("/sim/callbacks/3/repeat"));
        for (method, path) in [
            (Method::DELETE, "history"),
            (Method::POST, "faults"),
            (Method::POST, "callbacks"),
            (Method::POST, "callbacks/../repeat"),
            (Method::POST, "callbacks/-1/repeat"),
            (Method::GET, "../api/manufactures"),
        ] {
            assert_eq!(of_simulator(&method, path), None, "{path}");
        }
    }
}
