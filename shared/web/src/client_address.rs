//! The address of a request's client.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::web::Data;
use jaego_net::proxies::Proxies;

/// Returns the peer's address, or the one that trusted proxies name; the application provides [`Proxies`] as
/// application data. None if a trusted proxy names no readable address.
pub fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let forwarded: Vec<&str> = request
        .headers()
        .get_all("x-forwarded-for")
        .map(|value| value.to_str().unwrap_or("unreadable"))
        .flat_map(|line| line.split(','))
        .collect();
    match request.app_data::<Data<Proxies>>() {
        Some(proxies) => proxies.client(peer, &forwarded),
        None => Some(peer.to_canonical()),
    }
}
