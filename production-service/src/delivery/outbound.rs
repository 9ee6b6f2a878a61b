//! Resolves names for calls: the address that is connected to decides, whatever name resolved to it.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::commands::outbound::Outbound;

#[derive(Debug, thiserror::Error)]
#[error("the name has no address")]
struct NoAddress;

impl Resolve for Outbound {
    fn resolve(&self, name: Name) -> Resolving {
        let outbound = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut refused = None;
            let mut good = Vec::new();
            for address in found {
                match outbound.check(address.ip()) {
                    Ok(()) => good.push(address),
                    Err(forbidden) => refused = Some(forbidden),
                }
            }
            match (good.is_empty(), refused) {
                (false, _) => Ok(Box::new(good.into_iter()) as Addrs),
                (true, Some(forbidden)) => Err(forbidden.into()),
                (true, None) => Err(NoAddress.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbound(allowed: &[&str]) -> Outbound {
        Outbound::new(allowed.iter().map(|network| network.parse().expect("network")).collect())
    }

    // Control: resolved-address.
    #[tokio::test]
    async fn the_address_behind_a_name_counts() {
        let resolve = async |outbound: Outbound| {
            let name = "localhost".parse().expect("a name");
            outbound.resolve(name).await.map(Iterator::count).map_err(|error| error.to_string())
        };
        let refused = resolve(outbound(&[])).await.expect_err("this machine");
        assert!(refused.contains("delivery.allowed_networks"), "{refused}");
        assert!(resolve(outbound(&["127.0.0.0/8", "::1/128"])).await.is_ok_and(|count| count > 0));
    }
}
