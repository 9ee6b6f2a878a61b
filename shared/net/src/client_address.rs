//! The address of a client behind proxies.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::networks;

/// Returns the peer's address. If the peer is a trusted proxy, returns the address that it has added to `forwarded` (the
/// elements of `X-Forwarded-For`), and so on from the right. None if a trusted proxy names no readable address.
pub fn follow(peer: IpAddr, forwarded: &[&str], proxies: &[IpNet]) -> Option<IpAddr> {
    let mut address = peer.to_canonical();
    for hop in forwarded.iter().rev() {
        if !networks::contain(proxies, address) {
            break;
        }
        address = read(hop.trim())?.to_canonical();
    }
    Some(address)
}

/// Parses an address, with or without the port that some proxies add.
fn read(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(peer: &str, forwarded: &[&str], proxies: &[&str]) -> Option<String> {
        let proxies: Vec<IpNet> = proxies.iter().filter_map(|text| networks::parse(text)).collect();
        follow(peer.parse().expect("address"), forwarded, &proxies).map(|address| address.to_string())
    }

    // Control: forwarded-address.
    #[test]
    fn only_trusted_proxies_are_believed() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(followed("192.0.2.1", &["1.2.3.4"], &proxies).as_deref(), Some("192.0.2.1"));
        assert_eq!(followed("10.0.0.1", &["6.6.6.6", "1.2.3.4"], &proxies).as_deref(), Some("1.2.3.4"));
        assert_eq!(followed("10.0.0.1", &["6.6.6.6", "1.2.3.4", "10.0.0.2"], &proxies).as_deref(), Some("1.2.3.4"));
        assert_eq!(followed("::ffff:10.0.0.1", &["1.2.3.4:5678"], &proxies).as_deref(), Some("1.2.3.4"));
        assert_eq!(followed("10.0.0.1", &["10.0.0.3", "10.0.0.2"], &proxies).as_deref(), Some("10.0.0.3"));
        assert_eq!(followed("10.0.0.1", &[], &proxies).as_deref(), Some("10.0.0.1"));
        assert_eq!(followed("10.0.0.1", &["1.2.3.4", "unknown"], &proxies), None);
        assert_eq!(followed("10.0.0.1", &["1.2.3.4"], &[]).as_deref(), Some("10.0.0.1"));
    }
}
