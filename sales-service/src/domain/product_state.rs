//! A product with its figures, its policy and its open requests: the input of every decision about stock.

use std::collections::BTreeMap;

use jaego_contracts::ids::{FactoryId, RequestId, Sku};

use super::policy::{self, Mode, Need, Policy, Stance};
use super::stock::Figures;

/// Microseconds since 1970-01-01 UTC.
pub type Moment = i64;

/// Microseconds per second.
const SECOND: i64 = 1_000_000;

/// The state of a product on which decisions are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductState {
    pub figures: Figures,
    pub policy: Policy,
    pub factory_id: FactoryId,
    /// Seconds from acceptance to receipt. None for an unknown factory.
    pub lead_time_s: Option<i64>,
    /// Unit price, minor units of the shop's currency.
    pub unit_price: i64,
    pub on_sale: bool,
    /// Maximum units in one shopper's order. None applies the limit for all products.
    pub max_per_order: Option<i64>,
    /// Requests on order, oldest first. Only the first of very many are loaded.
    pub open: Vec<OpenRequest>,
    /// Number of requests on order that were not ordered by hand.
    pub automatic_open: usize,
    /// True if a proposal is waiting for an operator. There is at most one.
    pub has_proposal: bool,
    pub pauses: Pauses,
    /// Time of the last change of the figures. Times in the ledger never run backwards.
    pub changed_at: Moment,
}

/// Pauses of automatic orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pauses {
    /// Refusals since a factory last accepted.
    pub refusals_in_a_row: u32,
    /// End of the pause after a refusal.
    pub refused_until: Option<Moment>,
    /// End of the pause set by an operator.
    pub snoozed_until: Option<Moment>,
}

/// A request whose goods are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRequest {
    /// Id of the replenishment and of its production request.
    pub id: RequestId,
    /// Units still to come.
    pub units: i64,
    /// Expected arrival; None if unknown.
    pub due: Option<Moment>,
}

pub type ProductStates = BTreeMap<Sku, ProductState>;

/// Limits of automatic orders and of shoppers' orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum open automatic requests per product.
    pub open_max: usize,
    /// Maximum units on order per product; an operator must approve any more.
    pub auto_units_max: i64,
    /// Maximum units of a product that may wait, unless its policy has its own limit.
    pub max_backordered: i64,
    /// Maximum units of a product in one shopper's order, unless the product has its own limit.
    pub max_per_order: i64,
}

/// A replenishment that was decided and is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplenishment {
    /// Also the id of the production request.
    pub id: RequestId,
    pub sku: Sku,
    pub factory_id: FactoryId,
    /// True if it waits for an operator's approval instead of being ordered at once.
    pub is_proposal: bool,
    pub need: Need,
}

impl Pauses {
    /// Returns true if automatic orders are paused.
    pub fn hold(&self, now: Moment) -> bool {
        self.refused_until.max(self.snoozed_until).is_some_and(|until| now < until)
    }

    /// Records a refusal: pauses for `base_s` seconds, doubled with each consecutive refusal, at most `max_s`.
    pub fn refuse(&mut self, now: Moment, base_s: i64, max_s: i64) {
        let pause_s = policy::refusal_pause_s(self.refusals_in_a_row, base_s, max_s);
        self.refused_until = pause_s.checked_mul(SECOND).and_then(|pause| now.checked_add(pause));
        self.refusals_in_a_row = self.refusals_in_a_row.saturating_add(1);
    }

    /// Records that a factory works: the next refusal pauses for the shortest time again.
    pub fn forget_refusals(&mut self) {
        (self.refusals_in_a_row, self.refused_until) = (0, None);
    }
}

impl ProductState {
    /// The policy in effect: a withdrawn product is only ordered for orders that are already waiting.
    pub fn policy_now(&self) -> Policy {
        if self.on_sale { self.policy.clone() } else { self.policy.withdrawn() }
    }

    /// Units that may still be sold without being on hand.
    pub fn backorder_room(&self, limits: Limits) -> i64 {
        (self.policy.max_backordered().unwrap_or(limits.max_backordered) - self.figures.backordered).max(0)
    }

    /// Returns true if a replenishment is due. `is_short` if a line could not be sold in full.
    pub fn is_low(&self, is_short: bool) -> bool {
        policy::reason(&self.figures, &self.policy_now(), is_short).is_some()
    }

    /// Evaluates the policy after a change. `is_short` if a line could not be sold in full. Ordered units count in
    /// the figures at once, so that one shortfall is answered once. The part above the automatic limit in units
    /// becomes a proposal.
    pub fn replenish(
        &mut self,
        sku: &Sku,
        is_short: bool,
        limits: Limits,
        now: Moment,
        new_id: &mut dyn FnMut() -> RequestId,
    ) -> Vec<NewReplenishment> {
        let mut decided = Vec::new();
        if self.pauses.hold(now) {
            return decided;
        }
        let policy = self.policy_now();
        let may_order = policy.mode() == Mode::Auto && self.automatic_open < limits.open_max;
        let room = limits.auto_units_max - self.figures.on_order;
        let mut is_within_limit = false;
        if may_order && let Some(need) = policy::need_within(&self.figures, &policy, is_short, room) {
            is_within_limit = need.is_whole;
            let new = self.decided(sku, need, false, new_id());
            self.open.push(OpenRequest { id: new.id, units: new.need.quantity.get(), due: self.due_if_ordered(now) });
            self.automatic_open += 1;
            self.figures.on_order += new.need.quantity.get();
            decided.push(new);
        }
        let may_propose = policy.mode() == Mode::Manual || (may_order && !is_within_limit);
        if may_propose
            && !self.has_proposal
            && let Some(need) = policy::need(&self.figures, &policy, is_short)
        {
            decided.push(self.decided(sku, need, true, new_id()));
            self.has_proposal = true;
        }
        decided
    }

    fn decided(&self, sku: &Sku, need: Need, is_proposal: bool, id: RequestId) -> NewReplenishment {
        NewReplenishment { id, sku: sku.clone(), factory_id: self.factory_id.clone(), is_proposal, need }
    }

    fn due_if_ordered(&self, now: Moment) -> Option<Moment> {
        self.lead_time_s?.checked_mul(SECOND)?.checked_add(now)
    }

    /// The decision that [`Self::replenish`] would make now, with its reason, for display.
    pub fn stance(&self, limits: Limits, now: Moment) -> Stance {
        let policy = self.policy_now();
        let Some(need) = policy::need(&self.figures, &policy, false) else {
            let explanation = format!(
                "position {} = {} on hand + {} on order - {} backordered, above {}: nothing to order",
                self.figures.position(),
                self.figures.on_hand,
                self.figures.on_order,
                self.figures.backordered,
                policy.reorder_point(),
            );
            return Stance { answer: "none", quantity: 0, explanation };
        };
        let held_back =
            |why: &str| Stance { answer: "none", quantity: 0, explanation: format!("{}; but {why}", need.explanation) };
        let answer = |answer, need: &Need| {
            let explanation = need.explanation.clone();
            Stance { answer, quantity: need.quantity.get(), explanation }
        };
        let room = limits.auto_units_max - self.figures.on_order;
        match policy.mode() {
            Mode::Off => held_back("the mode is off"),
            Mode::Auto | Mode::Manual if self.pauses.hold(now) => held_back("automatic replenishment is paused"),
            Mode::Auto if self.automatic_open >= limits.open_max => {
                held_back(&format!("{} automatic requests are already open", self.automatic_open))
            }
            Mode::Auto if let Some(need) = policy::need_within(&self.figures, &policy, false, room) => {
                answer("order", &need)
            }
            Mode::Auto | Mode::Manual if self.has_proposal => held_back("a proposal is already waiting for approval"),
            Mode::Auto | Mode::Manual => answer("propose", &need),
        }
    }

    /// The requests that cover `units` units behind `ahead` others in the queue. Goods with the earliest due date are
    /// promised first; overdue ones and those without a date come last.
    pub fn covering(&self, ahead: i64, units: i64, now: Moment) -> Vec<RequestId> {
        self.promised(ahead, units, now).map(|request| request.id).collect()
    }

    /// Expected arrival of the last of `units` units behind `ahead` others in the queue. None if unknown.
    pub fn promised_at(&self, ahead: i64, units: i64, now: Moment) -> Option<Moment> {
        let last = self.promised(ahead + units - 1, 1, now).next()?;
        last.due.filter(|due| *due > now)
    }

    fn promised(&self, ahead: i64, units: i64, now: Moment) -> impl Iterator<Item = OpenRequest> {
        let mut queue = self.open.clone();
        queue.sort_by_key(|request| request.due.filter(|due| *due > now).unwrap_or(Moment::MAX));
        let mut until = 0;
        queue
            .into_iter()
            .map(move |request| {
                until += request.units;
                (request, until)
            })
            .filter(move |(request, until)| *until > ahead && until - request.units < ahead + units)
            .map(|(request, _)| request)
    }
}

#[cfg(test)]
mod tests {
    use jaego_contracts::ids::RequestId;
    use uuid::Uuid;

    use super::super::policy::Shortage;
    use super::*;

    const LIMITS: Limits = Limits { open_max: 20, auto_units_max: 1000, max_backordered: 10_000, max_per_order: 1_000 };

    fn id(number: u128) -> RequestId {
        RequestId(Uuid::from_u128(number))
    }

    fn state(figures: Figures, mode: Mode) -> ProductState {
        ProductState {
            figures,
            policy: Policy::new(5, 20, 8, mode, Shortage::Backorder, None).expect("valid"),
            factory_id: "FF-1".parse().expect("a factory"),
            lead_time_s: Some(40),
            unit_price: 1,
            on_sale: true,
            max_per_order: None,
            open: Vec::new(),
            automatic_open: 0,
            has_proposal: false,
            pauses: Pauses::default(),
            changed_at: 0,
        }
    }

    fn decide(state: &mut ProductState, limits: Limits) -> Vec<(i64, bool)> {
        let mut last = 100;
        let mut new_id = || {
            last += 1;
            id(last)
        };
        let decided = state.replenish(&"SKU".parse().expect("sku"), false, limits, 0, &mut new_id);
        decided.iter().map(|new| (new.need.quantity.get(), new.is_proposal)).collect()
    }

    #[test]
    fn the_earliest_goods_are_promised_to_the_longest_waiting() {
        let mut state = state(Figures { backordered: 30, on_order: 35, ..Figures::default() }, Mode::Auto);
        let request = |number, units, due| OpenRequest { id: id(number), units, due };
        // The second was ordered later but is due earlier. The third is overdue, so its arrival is unknown.
        state.open = vec![request(1, 10, Some(300)), request(2, 10, Some(200)), request(3, 15, Some(50))];
        let now = 100;
        assert_eq!(state.covering(0, 10, now), [id(2)]);
        assert_eq!(state.covering(5, 10, now), [id(2), id(1)]);
        assert_eq!(state.covering(20, 30, now), [id(3)], "units without a request are covered by none");
        assert_eq!(state.covering(35, 5, now), []);
        let dates: Vec<_> = [0, 9, 10, 19, 20].map(|ahead| state.promised_at(ahead, 1, now)).into();
        assert_eq!(dates, [Some(200), Some(200), Some(300), Some(300), None]);
        assert_eq!(state.promised_at(5, 10, now), Some(300), "the last unit's date is the line's");
    }

    // Control: bounded-production.
    #[test]
    fn automatic_requests_are_bounded_in_number_and_units() {
        let short = Figures { backordered: 100, ..Figures::default() };
        let limits = Limits { open_max: 2, ..LIMITS };
        let mut full = ProductState { automatic_open: 2, ..state(short, Mode::Auto) };
        assert_eq!(decide(&mut full, limits), [], "the next receipt or sweep asks again");
        let mut one = state(short, Mode::Auto);
        assert_eq!(decide(&mut one, limits), [(120, false)]);
        // 50 units: six lots of eight are ordered at once; the rest becomes one proposal.
        let mut limited = state(short, Mode::Auto);
        let limits = Limits { auto_units_max: 50, ..LIMITS };
        assert_eq!(decide(&mut limited, limits), [(48, false), (72, true)]);
        assert_eq!(decide(&mut limited, limits), []);
        assert_eq!(decide(&mut state(short, Mode::Manual), limits), [(120, true)]);
        assert_eq!(decide(&mut state(short, Mode::Off), limits), []);
    }

    #[test]
    fn a_withdrawn_product_is_made_for_waiting_orders_only() {
        let limits = LIMITS;
        let mut withdrawn = ProductState { on_sale: false, ..state(Figures::default(), Mode::Auto) };
        assert_eq!(decide(&mut withdrawn, limits), []);
        withdrawn.figures.backordered = 9;
        assert_eq!(decide(&mut withdrawn, limits), [(16, false)]);
    }

    #[test]
    fn the_decision_names_the_reason_for_not_ordering() {
        let limits = Limits { open_max: 2, ..LIMITS };
        let low = Figures { on_hand: 2, ..Figures::default() };
        let words = |state: ProductState| {
            let stance = state.stance(limits, 0);
            (stance.answer, stance.quantity, stance.explanation.split_once("; but ").map(|(_, why)| why.to_owned()))
        };
        let held_back = |why: &str| ("none", 0, Some(why.to_owned()));
        assert_eq!(words(state(low, Mode::Auto)), ("order", 24, None));
        assert_eq!(words(state(low, Mode::Manual)), ("propose", 24, None));
        assert_eq!(words(state(low, Mode::Off)), held_back("the mode is off"));
        for mode in [Mode::Auto, Mode::Manual] {
            let paused = Pauses { snoozed_until: Some(1), ..Pauses::default() };
            let paused = ProductState { pauses: paused, ..state(low, mode) };
            assert_eq!(words(paused), held_back("automatic replenishment is paused"));
        }
        let busy = ProductState { automatic_open: 2, ..state(low, Mode::Auto) };
        assert_eq!(words(busy), held_back("2 automatic requests are already open"));
        let has_proposal = |mode| words(ProductState { has_proposal: true, ..state(low, mode) });
        assert_eq!(has_proposal(Mode::Auto), ("order", 24, None));
        assert_eq!(has_proposal(Mode::Manual), held_back("a proposal is already waiting for approval"));
        let much = ProductState { figures: Figures { backordered: 2_000, ..low }, ..state(low, Mode::Auto) };
        assert_eq!(words(much).1, 1_000, "the rest is for a person");
        let enough = state(Figures { on_hand: 6, ..low }, Mode::Auto).stance(limits, 0);
        let expected = "position 6 = 6 on hand + 0 on order - 0 backordered, above 5: nothing to order";
        assert_eq!((enough.answer, enough.explanation.as_str()), ("none", expected));
    }
}
