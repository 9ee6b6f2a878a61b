//! Restricts the destinations of calls: the networks that this service itself runs in are forbidden, unless allowed.
//! The address that is connected to decides, whatever name resolved to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(first: u16, second: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0), prefix)
}

/// Everything but the public internet: this host, private and shared networks, link-local (where clouds serve
/// credentials), protocol assignments, benchmarks, multicast, reserved.
const INNER_V4: [Ipv4Net; 12] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    // Azure's own services for its machines, among them one that hands out their configuration.
    v4(168, 63, 129, 16, 32),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];
/// The same for IPv6, and tunnels whose endpoint is hidden in the address (2001::/32).
const INNER_V6: [Ipv6Net; 6] =
    [v6(0, 0, 127), v6(0xfc00, 0, 7), v6(0xfe80, 0, 10), v6(0xfec0, 0, 10), v6(0xff00, 0, 8), v6(0x2001, 0, 32)];

/// Networks that may be called although they are not the public internet.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    allowed: Arc<[IpNet]>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the address {0} is in a private, loopback, link-local or reserved network and is not called; delivery.allowed_networks can allow it"
)]
pub struct Forbidden(pub IpAddr);

impl Outbound {
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed: allowed.into() }
    }

    /// Checks a URL that contains an address or names this host; other names are checked when they are resolved.
    pub fn check_url(&self, url: &str) -> Result<(), Forbidden> {
        match Url::parse(url).ok().as_ref().and_then(Url::host) {
            Some(Host::Ipv4(address)) => self.check(address.into()),
            Some(Host::Ipv6(address)) => self.check(address.into()),
            Some(Host::Domain(name)) if is_localhost(name) => {
                let of_v6 = self.check(Ipv6Addr::LOCALHOST.into());
                self.check(Ipv4Addr::LOCALHOST.into()).or(of_v6)
            }
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        let contains = |networks: &[IpNet], address: &IpAddr| networks.iter().any(|network| network.contains(address));
        let passes = |meant: &IpAddr| !is_inner(meant) || contains(&self.allowed, meant);
        if meant(address).iter().all(passes) || contains(&self.allowed, &address) {
            Ok(())
        } else {
            Err(Forbidden(address))
        }
    }
}

fn is_inner(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => INNER_V4.iter().any(|network| network.contains(address)),
        IpAddr::V6(address) => INNER_V6.iter().any(|network| network.contains(address)),
    }
}

/// True for names that mean this host for every resolver (RFC 6761).
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// IPv4 address that an IPv6 address stands for (mapped, translated, compatible, NAT64, 6to4), or the address itself.
/// Local-use NAT64 prefixes allow several positions; all of them are returned.
fn meant(address: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V6(v6) = address else { return vec![address] };
    let join = |high: u16, low: u16| IpAddr::from(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0 | 1, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => vec![join(high, low)],
        [0x64, 0xff9b, 1, ..] => {
            // Positions by length of the prefix (RFC 6052): 48, 56, 64, 96 bits; octet 8 is never part of the
            // address.
            let octets = v6.octets();
            let places = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]];
            places.iter().map(|place| IpAddr::from(place.map(|index| octets[index]))).collect()
        }
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => vec![join(high, low)],
        _ => vec![address],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(allowed: &[&str]) -> Outbound {
        Outbound::new(allowed.iter().map(|network| network.parse().expect("network")).collect())
    }

    // Control: inner-addresses.
    #[test]
    fn inner_addresses_are_not_called_however_they_are_written() {
        let outbound = outbound(&[]);
        for url in [
            "http://127.0.0.1",
            "http://127.1",
            "http://0x7f000001",
            "http://2130706433",
            "http://0.0.0.0",
            "http://10.1.2.3:8080/x",
            "http://100.64.0.1",
            "http://169.254.169.254/latest/meta-data",
            "http://168.63.129.16/machine?comp=goalstate",
            "http://[::ffff:168.63.129.16]",
            "http://172.16.0.1",
            "http://172.31.255.255",
            "http://192.168.1.1",
            "http://224.0.0.1",
            "http://255.255.255.255",
            "http://localhost:8480",
            "http://LOCALHOST./",
            "http://factory.localhost",
            "http://[::]",
            "http://[::1]",
            "http://[::127.0.0.1]",
            "http://[::ffff:127.0.0.1]",
            "http://[::ffff:0.0.0.0]",
            "http://[::ffff:a9fe:a9fe]",
            "http://[::ffff:0:10.0.0.1]",
            "http://[::ffff:0:a9fe:a9fe]",
            "http://[64:ff9b::10.0.0.1]",
            "http://[64:ff9b::169.254.169.254]",
            "http://[64:ff9b:1::192.168.0.1]",
            "http://[64:ff9b:1:a00:0:100::]",
            "http://[64:ff9b:1:50a:0:1::]",
            "http://[64:ff9b:1:5:a:0:100:0]",
            "http://[64:ff9b:1:808:8:808:a00:1]",
            "http://[2002:7f00:1::]",
            "http://[2002:a9fe:a9fe:1::5]",
            "http://[2001:0:1::]",
            "http://[fc00::1]",
            "http://[fd12:3456::1]",
            "http://[fe80::1]",
            "http://[fec0::1]",
            "http://[ff02::1]",
        ] {
            assert!(outbound.check_url(url).is_err(), "{url}");
        }
        for url in [
            "http://8.8.8.8",
            "http://172.32.0.1",
            "http://100.128.0.1",
            "http://[2606:4700::1111]",
            "http://[::ffff:8.8.8.8]",
            "http://[::ffff:0:8.8.8.8]",
            "http://[64:ff9b::8.8.8.8]",
            "http://[64:ff9b:1::8.8.8.8]",
            "http://[2002:808:808::1]",
            "http://localhost.example",
            "http://factory.example",
        ] {
            assert_eq!(outbound.check_url(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn allowed_addresses_are_called() {
        let outbound = outbound(&["127.0.0.0/8", "fd00::/8"]);
        for url in [
            "http://127.0.0.1",
            "http://localhost",
            "http://[::ffff:127.0.0.1]",
            "http://[64:ff9b::7f00:1]",
            "http://[fd12::1]",
        ] {
            assert_eq!(outbound.check_url(url), Ok(()), "{url}");
        }
        for url in ["http://10.0.0.1", "http://[::1]", "http://[fc00::1]"] {
            assert!(outbound.check_url(url).is_err(), "{url}");
        }
    }
}
