//! Cache of products as the last batches left them. The next batch is decided on the cache, and its single statement
//! is conditional on the versions ([`crate::store::product_states::Holding`]). If another process changed a product, nothing
//! is written, and the batch is retried after a read.

use std::collections::{BTreeMap, BTreeSet};

use jaego_contracts::ids::Sku;

use crate::domain::product_state::ProductState;
use crate::store::product_states::Loaded;

/// Maximum cached products, at half a kilobyte each.
const PRODUCTS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct KnownProducts {
    states: BTreeMap<Sku, Known>,
}

#[derive(Debug)]
struct Known {
    state: ProductState,
    version: i64,
    /// True if no other process changed the product between our last two reads. If another replica sells the same
    /// product, the cache would be stale for nearly every batch, and each would be decided twice.
    is_ours: bool,
}

/// A batch's products, and those of them that only this process changes.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    pub(super) loaded: Loaded,
    ours: BTreeSet<Sku>,
}

impl KnownProducts {
    /// Takes these products out of the cache, if all of them are in it, until the batch is written.
    pub(super) fn take(&mut self, skus: &BTreeSet<Sku>) -> Option<Remembered> {
        let is_known = |sku: &Sku| self.states.get(sku).is_some_and(|known| known.is_ours);
        if skus.is_empty() || !skus.iter().all(is_known) {
            return None;
        }
        let mut taken = Remembered { ours: skus.clone(), ..Remembered::default() };
        for (sku, known) in skus.iter().filter_map(|sku| self.states.remove_entry(sku)) {
            taken.loaded.versions.insert(sku.clone(), known.version);
            taken.loaded.states.insert(sku, known.state);
        }
        Some(taken)
    }

    /// Compares freshly read products with the cache. Only unchanged ones may be used from the cache next time.
    pub(super) fn compare(&mut self, loaded: Loaded) -> Remembered {
        let mut as_left = |sku: &Sku, version| self.states.remove(sku).is_some_and(|known| known.version == version);
        let ours = loaded.versions.iter().map(|(sku, version)| (sku, *version));
        let ours = ours.filter(|(sku, version)| as_left(sku, *version)).map(|(sku, _)| sku.clone()).collect();
        Remembered { loaded, ours }
    }

    /// Caches products that were written and committed.
    pub(super) fn keep(&mut self, written: Remembered) {
        let Remembered { loaded: Loaded { states, versions }, ours } = written;
        if self.states.len() + states.len() > PRODUCTS_MAX {
            self.states.clear();
        }
        for (sku, state) in states {
            let Some(version) = versions.get(&sku).copied() else { continue };
            let is_ours = ours.contains(&sku);
            self.states.insert(sku, Known { state, version, is_ours });
        }
    }
}
