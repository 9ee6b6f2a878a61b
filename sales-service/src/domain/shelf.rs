//! A product with its figures and its policy: what every decision about stock begins with.

use std::collections::BTreeMap;

use shared::ids::{FactoryId, RequestId, Sku};

use super::policy::{self, Mode, Need, Policy};
use super::stock::Figures;

/// A product with its figures, while they are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelf {
    /// Its figures.
    pub figures: Figures,
    /// Its replenishment policy.
    pub policy: Policy,
    /// Who makes it.
    pub factory_id: FactoryId,
    /// Price of a unit, minor units of the shop's currency.
    pub unit_price: i64,
    /// Whether shoppers may order it.
    pub on_sale: bool,
    /// Replenishments that are under way, or proposed.
    pub open_replenishments: Vec<RequestId>,
    /// A proposal waits for an operator: there is no second one.
    pub has_proposal: bool,
    /// Cooling down after a refusal, or snoozed: nothing is ordered by itself.
    pub is_paused: bool,
}

/// Products by their SKU.
pub type Shelves = BTreeMap<Sku, Shelf>;

/// More is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplenishment {
    /// Its id, and the production request's.
    pub id: RequestId,
    /// What.
    pub sku: Sku,
    /// Who makes it.
    pub factory_id: FactoryId,
    /// Only proposed (mode manual), or ordered at once.
    pub is_proposal: bool,
    /// How many and why.
    pub need: Need,
}

impl Shelf {
    /// Asks the policy after a change; `is_short` when a line just could not be sold in full. What
    /// is ordered counts in the figures at once, so one shortfall is answered once.
    pub fn replenish(
        &mut self,
        sku: &Sku,
        is_short: bool,
        new_id: &mut dyn FnMut() -> RequestId,
    ) -> Option<NewReplenishment> {
        let is_proposal = match self.policy.mode() {
            Mode::Auto => false,
            Mode::Manual if !self.has_proposal => true,
            Mode::Manual | Mode::Off => return None,
        };
        if self.is_paused {
            return None;
        }
        let need = policy::need(&self.figures, &self.policy, is_short)?;
        let id = new_id();
        if is_proposal {
            self.has_proposal = true;
        } else {
            self.figures.on_order += need.quantity.get();
        }
        self.open_replenishments.push(id);
        Some(NewReplenishment { id, sku: sku.clone(), factory_id: self.factory_id.clone(), is_proposal, need })
    }
}
