//! Networks as written in settings and messages.

use std::net::IpAddr;

use ipnet::IpNet;

/// Parses `10.0.0.0/8`, `2001:db8::/32`, or a single address.
pub fn parse(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// True if one of the networks contains the address. An IPv4-mapped IPv6 address counts as an IPv4 address.
pub fn contain(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_network() {
        let networks: Vec<IpNet> =
            ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"].iter().filter_map(|text| parse(text)).collect();
        assert_eq!(networks.len(), 3);
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7", "2001:db8::1"] {
            assert!(contain(&networks, inside.parse().expect("address")), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1"] {
            assert!(!contain(&networks, outside.parse().expect("address")), "{outside}");
        }
        assert!(parse("ten").is_none() && parse("10.0.0.0/33").is_none() && parse("").is_none());
    }
}
