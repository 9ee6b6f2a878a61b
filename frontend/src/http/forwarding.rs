//! Routes of the services.

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use jaego_web::auth::Role;
use jaego_web::problem::Problem;
use secrecy::ExposeSecret as _;

use super::session::address_of;
use super::{Face, State, body_of, not_found};
use crate::forward::{Service, Target, Who, table};

/// Forwards a request if the table has its route and the session has the required role.
pub(super) async fn forward(
    request: HttpRequest,
    state: Data<State>,
    face: Data<Face>,
    path: Path<(String, String)>,
    body: Bytes,
) -> Result<HttpResponse, Problem> {
    let (prefix, _) = path.into_inner();
    let service = Service::ALL.into_iter().find(|service| service.prefix() == prefix).ok_or_else(not_found)?;
    // The raw path with its escapes: the table decodes it itself.
    let rest = request.path().strip_prefix('/').and_then(|path| path.split_once('/')).map_or("", |(_, rest)| rest);
    let (route, path) = table::find(service, request.method(), rest).ok_or_else(not_found)?;
    let role = match route.who {
        Who::Shopper => None,
        // The shop's own listener has no such route.
        Who::Viewer | Who::Operator if **face == Face::Shop => return Err(not_found()),
        Who::Viewer => Some(Role::Viewer),
        Who::Operator => Some(Role::Operator),
    };
    let session = match role {
        Some(role) => Some(state.need(**face, &request, role).await?),
        None => None,
    };
    let services = &state.services;
    let base_url = match (service, &session) {
        (Service::Sales, None) => &services.sales_public_url,
        (Service::Sales, Some(_)) => &services.sales_url,
        (Service::Production, _) => &services.production_url,
        (Service::Restock, _) => &services.restock_url,
        (Service::Access, _) => &state.access.url,
    };
    let source = address_of(&request);
    // access-service records where its requests come from, and believes only our own programs.
    let proof = [("jaego-source", source.as_str()), ("jaego-program", state.access.credential.expose_secret())];
    let further: &[_] = if service == Service::Access { &proof } else { &[] };
    let token = session.as_ref().map(|session| session.token.as_str());
    let target = Target { base_url, path: &path, token, further };
    let upstream = if session.is_some() { &state.upstreams[service as usize] } else { &state.shop };
    upstream.send(&request, body_of(&request, body), target).await
}
