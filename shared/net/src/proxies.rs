//! Proxies in front of a listener, which name the client in `X-Forwarded-For`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::client_address::follow;

/// Maximum number of proxies in front.
pub const HOPS_MAX: usize = 10;
/// A network with a shorter prefix contains more than any owner's proxies: whoever trusts it believes strangers.
const PREFIX_MIN_V4: u8 = 8;
const PREFIX_MIN_V6: u8 = 16;

const EVERYWHERE: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

/// The proxies whose elements of `X-Forwarded-For` are believed.
#[derive(Debug, Clone)]
pub enum Proxies {
    /// Those of as many proxies, wherever they are. With 0, the peer is the client.
    Hops(usize),
    /// Those of peers in these networks. Nothing else in them may be a client, and no load balancer in them may hide
    /// its clients: their elements would be believed, too.
    Networks(Vec<IpNet>),
}

impl Proxies {
    /// Returns the address of the client whose request came from `peer` with these elements of `X-Forwarded-For`.
    /// None if a trusted proxy names no readable address.
    pub fn client(&self, peer: IpAddr, forwarded: &[&str]) -> Option<IpAddr> {
        match self {
            // A request with fewer elements has passed fewer proxies. What is there was written by them.
            Self::Hops(hops) => follow(peer, &forwarded[forwarded.len().saturating_sub(*hops)..], &EVERYWHERE),
            Self::Networks(networks) => follow(peer, forwarded, networks),
        }
    }
}

/// True for a network that may contain proxies only.
pub fn may_be_trusted(network: &IpNet) -> bool {
    let prefix_min = if matches!(network, IpNet::V4(_)) { PREFIX_MIN_V4 } else { PREFIX_MIN_V6 };
    network.prefix_len() >= prefix_min
}

/// True if an address is in both networks.
pub fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks;

    fn client(proxies: &Proxies, forwarded: &[&str]) -> Option<String> {
        let peer = "10.1.0.9".parse().expect("address");
        proxies.client(peer, forwarded).map(|address| address.to_string())
    }

    // Control: hidden-sources.
    #[test]
    fn a_load_balancer_that_hides_sources_makes_no_caller_believed() {
        // The Gateway's pod adds the address that it saw, which is the load balancer's, not the caller's.
        let forwarded = ["6.6.6.6", "10.0.0.5"];
        assert_eq!(client(&Proxies::Hops(1), &forwarded).as_deref(), Some("10.0.0.5"));
        let pods = Proxies::Networks(networks::parse("10.1.0.0/24").into_iter().collect());
        assert_eq!(client(&pods, &forwarded).as_deref(), Some("10.0.0.5"));
    }

    #[test]
    fn as_many_hops_are_believed_as_there_are_proxies() {
        let forwarded = ["6.6.6.6", "1.2.3.4", "[2001:db8::5]:443"];
        for (hops, expected) in [(0, "10.1.0.9"), (1, "2001:db8::5"), (2, "1.2.3.4"), (3, "6.6.6.6"), (4, "6.6.6.6")] {
            assert_eq!(client(&Proxies::Hops(hops), &forwarded).as_deref(), Some(expected), "{hops}");
        }
        assert_eq!(client(&Proxies::Hops(1), &[]).as_deref(), Some("10.1.0.9"), "a direct call");
        assert_eq!(client(&Proxies::Hops(1), &["unknown"]), None);
        assert_eq!(client(&Proxies::Hops(2), &["1.2.3.4", "unknown"]), None);
    }

    #[test]
    fn networks_that_contain_strangers_are_not_trusted() {
        let trusted = |text: &str| may_be_trusted(&networks::parse(text).expect("a network"));
        assert!(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"].into_iter().all(trusted));
        assert!(!["0.0.0.0/0", "128.0.0.0/1", "::/0", "2000::/3"].into_iter().any(trusted));
    }
}
