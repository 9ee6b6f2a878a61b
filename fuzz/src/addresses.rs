//! The address of a client behind proxies.

use std::net::IpAddr;

use ipnet::IpNet;
use jaego_net::client_address::follow;
use jaego_net::networks;

const PROXIES: [&str; 3] = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"];

/// A caller's own `X-Forwarded-For` is not believed: a trusted proxy appends the address that it saw, and
/// nothing to the left of the first address that is no proxy's makes a difference.
///
/// The input is a value of the header.
pub(crate) fn client_address(input: &[u8]) {
    let Ok(header) = str::from_utf8(input) else { return };
    let proxies: Vec<IpNet> = PROXIES.iter().filter_map(|text| networks::parse(text)).collect();
    let forwarded: Vec<&str> = header.split(',').collect();
    let proxy: IpAddr = "10.0.0.1".parse().expect("an address");
    let stranger: IpAddr = "198.51.100.9".parse().expect("an address");

    assert_eq!(follow(stranger, &forwarded, &proxies), Some(stranger), "{header:?}: the peer is no proxy");
    assert_eq!(follow(proxy, &forwarded, &[]), Some(proxy), "{header:?}: no proxy is trusted");

    for seen in ["198.51.100.9", " 198.51.100.9:4711", "::ffff:198.51.100.9 "] {
        let appended = [forwarded.as_slice(), &[seen]].concat();
        assert_eq!(follow(proxy, &appended, &proxies), Some(stranger), "{header:?}");
        let twice = [appended.as_slice(), &["10.1.2.3"]].concat();
        assert_eq!(follow(proxy, &twice, &proxies), Some(stranger), "{header:?}");
    }

    let Some(found) = follow(proxy, &forwarded, &proxies) else { return };
    assert_eq!(found, found.to_canonical(), "{header:?}");
    let is_proxy = networks::contain(&proxies, found);
    for left in ["203.0.113.1", "nonsense", ""] {
        let more = [&[left], forwarded.as_slice()].concat();
        let found_with_more = follow(proxy, &more, &proxies);
        // Only if all addresses are proxies' does the element to the left of them count.
        assert!(is_proxy || found_with_more == Some(found), "{left:?}, {header:?}: {found_with_more:?}");
    }
}
