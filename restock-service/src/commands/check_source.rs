//! Checks the source addresses of callbacks.

use std::net::IpAddr;

use ipnet::IpNet;
use jaego_net::networks;

/// Networks that a factory's callbacks may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sources {
    /// The factory's list is empty.
    Anywhere,
    /// Only these networks. A list without any readable entry allows nothing: it is not an empty list.
    Listed(Vec<IpNet>),
}

impl Sources {
    /// Parses a stored list.
    pub(crate) fn read(texts: &[String]) -> Self {
        if texts.is_empty() {
            return Self::Anywhere;
        }
        Self::Listed(texts.iter().filter_map(|text| networks::parse(text)).collect())
    }

    pub(crate) fn allow(&self, address: Option<IpAddr>) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Listed(list) => address.is_some_and(|address| networks::contain(list, address)),
        }
    }
}

/// Checks an address against the installation's list, which applies to every factory; an empty list allows all.
pub(crate) fn is_allowed(list: &[IpNet], address: Option<IpAddr>) -> bool {
    list.is_empty() || address.is_some_and(|address| networks::contain(list, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_list_is_no_empty_list() {
        let address = Some(IpAddr::from([192, 0, 2, 7]));
        let sources = |texts: &[&str]| Sources::read(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert!(sources(&[]).allow(address) && sources(&[]).allow(None));
        assert!(sources(&["192.0.2.0/24"]).allow(address) && sources(&["x", "192.0.2.7"]).allow(address));
        assert!(!sources(&["192.0.2.0/24"]).allow(None));
        assert!(!sources(&["nonsense"]).allow(address));
    }
}
