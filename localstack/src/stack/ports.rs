//! Ports of Jaego's own programs: free ones, remembered so that URLs stay valid.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};
use testkit::servers::{choose_ports, write_private};

use super::{
    frontend::FRONTEND,
    service::{Service, Urls},
};

const FILE: &str = "ports.json";
const COUNT: usize = 1 + 3 * LISTENING.len();

/// Programs with three listeners each.
const LISTENING: [&str; Service::ALL.len() + 1] = {
    let [access, sales, production, restock] = Service::ALL;
    [access.name(), sales.name(), production.name(), restock.name(), FRONTEND]
};

/// Ports by name: `factory`, `sales.api`, `sales.public`, `sales.admin`, ..
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ports(BTreeMap<String, u16>);

impl Ports {
    /// Reuses the ports of the last run where they are still free.
    pub(super) fn choose(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let known: Self =
            fs::read_to_string(&path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let names = names();
        let wanted: [u16; COUNT] = std::array::from_fn(|index| known.get(&names[index]));
        let ports = Self(names.into_iter().zip(choose_ports(wanted)?).collect());
        write_private(&path, 0o600, &serde_json::to_string_pretty(&ports)?)?;
        Ok(ports)
    }

    /// Addresses of one of the programs in [`LISTENING`].
    pub(super) fn urls(&self, name: &str) -> Urls {
        let [api, public, admin] = self.of(name).map(url);
        Urls { api, public, admin }
    }

    /// Ports of the `api`, `public` and `admin` listeners.
    pub(super) fn of(&self, name: &str) -> [u16; 3] {
        ["api", "public", "admin"].map(|listener| self.get(&format!("{name}.{listener}")))
    }

    pub(super) fn factory(&self) -> u16 {
        self.get("factory")
    }

    pub(super) fn factory_url(&self) -> String {
        url(self.factory())
    }

    fn get(&self, name: &str) -> u16 {
        self.0.get(name).copied().unwrap_or(0)
    }
}

fn names() -> [String; COUNT] {
    std::array::from_fn(|index| match index.checked_sub(1) {
        None => "factory".to_owned(),
        Some(index) => format!("{}.{}", LISTENING[index / 3], ["api", "public", "admin"][index % 3]),
    })
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_stay_and_differ() {
        let root = tempfile::tempdir().unwrap();
        let first = Ports::choose(root.path()).unwrap();
        assert_eq!(Ports::choose(root.path()).unwrap(), first);
        let mut all: Vec<u16> = LISTENING.into_iter().flat_map(|name| first.of(name)).collect();
        all.push(first.factory());
        assert!(all.iter().all(|port| (1024..32768).contains(port)), "{all:?}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), COUNT);
    }
}
