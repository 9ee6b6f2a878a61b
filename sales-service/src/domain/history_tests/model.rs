//! A shop as a child would play it: single units, a queue, and a list of what was asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::order::OrderStatus;
use super::super::policy::{Mode, Shortage};
use super::super::replenishment::Outcome;
use super::shop::Made;
use super::{Rules, Step};

pub(super) struct Product {
    rules: Rules,
    is_paused: bool,
    pub(super) on_hand: i64,
    /// Orders, once for each unit that they wait for, in the order of their coming.
    queue: VecDeque<usize>,
    pub(super) received: i64,
    pub(super) adjusted: i64,
    pub(super) cancelled: i64,
    pub(super) sold: i64,
    /// Units still to come for each replenishment that counts.
    to_come: BTreeMap<usize, i64>,
    proposals: BTreeMap<usize, i64>,
}

impl Product {
    pub(super) fn waiting(&self) -> i64 {
        i64::try_from(self.queue.len()).expect("few")
    }

    fn position(&self) -> i64 {
        self.on_hand + self.on_order() - self.waiting()
    }

    /// Places of the replenishments that are under way, or proposed.
    pub(super) fn under_way(&self) -> BTreeSet<usize> {
        self.to_come.keys().chain(self.proposals.keys()).copied().collect()
    }

    pub(super) fn on_order(&self) -> i64 {
        self.to_come.values().sum()
    }
}

pub(super) struct Order {
    pub(super) status: OrderStatus,
    /// Units that it has, by product.
    pub(super) filled: BTreeMap<usize, i64>,
}

pub(super) struct Model {
    pub(super) products: Vec<Product>,
    pub(super) orders: Vec<Order>,
    /// The product of each replenishment.
    asked: Vec<usize>,
    revisions: BTreeMap<usize, i64>,
    receipts: Vec<(usize, Option<usize>, i64)>,
    seen: BTreeSet<usize>,
}

type Wanted = Vec<(usize, i64, bool)>;

impl Model {
    pub(super) fn new(rules: Vec<Rules>) -> Self {
        let product = |rules| Product {
            rules,
            is_paused: false,
            on_hand: 0,
            queue: VecDeque::new(),
            received: 0,
            adjusted: 0,
            cancelled: 0,
            sold: 0,
            to_come: BTreeMap::new(),
            proposals: BTreeMap::new(),
        };
        Self {
            products: rules.into_iter().map(product).collect(),
            orders: Vec::new(),
            asked: Vec::new(),
            revisions: BTreeMap::new(),
            receipts: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Answers what this step should ask for: product, units, whether it is only a proposal. Of
    /// `made` it takes nothing but the places under which later steps name them.
    pub(super) fn apply(&mut self, step: &Step, made: &[Made]) -> Wanted {
        let mut wanted = Wanted::new();
        let asked = self.asked.len();
        match step {
            Step::Order { lines, on_shortage } => self.order(lines, *on_shortage, &mut wanted),
            Step::Cancel { order } if !self.orders.is_empty() => {
                let order = order % self.orders.len();
                if matches!(self.orders[order].status, OrderStatus::Confirmed | OrderStatus::Backordered) {
                    self.cancel(order, &mut wanted);
                }
            }
            Step::Adjust { product, delta, .. } if self.products[*product].on_hand + delta >= 0 => {
                self.products[*product].adjusted += delta;
                if *delta > 0 {
                    self.come_in(*product, *delta);
                } else {
                    self.products[*product].on_hand += delta;
                }
                self.ask(*product, false, &mut wanted);
            }
            Step::Receive { replenishment, units } if asked > 0 => {
                let place = replenishment % asked;
                if !self.products[self.asked[place]].proposals.contains_key(&place) {
                    self.receipts.push((self.asked[place], Some(place), *units));
                    self.receive(self.receipts.len() - 1, &mut wanted);
                }
            }
            Step::ReceiveAgain { receipt } if !self.receipts.is_empty() => {
                self.receive(receipt % self.receipts.len(), &mut wanted);
            }
            Step::ReceiveUnasked { product, units } => {
                self.receipts.push((*product, None, *units));
                self.receive(self.receipts.len() - 1, &mut wanted);
            }
            Step::Outcome { replenishment, outcome, revision } if asked > 0 => {
                let place = replenishment % asked;
                let last = self.revisions.entry(place).or_default();
                if revision > last {
                    *last = *revision;
                    let product = self.asked[place];
                    let counts = self.products[product].to_come.contains_key(&place);
                    if counts && matches!(outcome, Outcome::Refused | Outcome::Cancelled) {
                        self.products[product].to_come.remove(&place);
                    }
                    if counts && *outcome == Outcome::Refused {
                        self.products[product].is_paused = true;
                    }
                    if counts && *outcome == Outcome::Cancelled {
                        self.ask(product, false, &mut wanted);
                    }
                }
            }
            Step::Close { replenishment } if asked > 0 => {
                let place = replenishment % asked;
                let product = &mut self.products[self.asked[place]];
                product.to_come.remove(&place);
                product.proposals.remove(&place);
            }
            Step::Approve { replenishment } if asked > 0 => {
                let place = replenishment % asked;
                let product = &mut self.products[self.asked[place]];
                // Unless what it was to answer is answered already.
                let is_needed = product.position() <= product.rules.reorder_point
                    || (product.on_order() == 0 && product.position() < product.rules.order_up_to);
                if is_needed && let Some(units) = product.proposals.remove(&place) {
                    product.to_come.insert(place, units);
                }
            }
            Step::ByHand { product, quantity } => wanted.push((*product, *quantity, false)),
            Step::Pause { product, is_paused } => self.products[*product].is_paused = *is_paused,
            Step::Sweep { product } => self.ask(*product, false, &mut wanted),
            _ => {}
        }
        for ((product, units, is_proposal), new) in wanted.iter().zip(made) {
            assert_eq!(new.place, self.asked.len());
            self.asked.push(*product);
            let product = &mut self.products[*product];
            let list = if *is_proposal { &mut product.proposals } else { &mut product.to_come };
            list.insert(new.place, *units);
        }
        wanted
    }

    fn order(&mut self, lines: &[(usize, i64)], on_shortage: Option<Shortage>, wanted: &mut Wanted) {
        let number = self.orders.len();
        let is_sold = lines.iter().all(|(product, units)| {
            let product = &self.products[*product];
            let missing = units - product.on_hand;
            let may_wait = on_shortage.unwrap_or(product.rules.shortage) == Shortage::Backorder;
            let room = product.rules.max_backordered.unwrap_or(i64::MAX) - product.waiting();
            missing <= 0 || (may_wait && missing <= room)
        });
        let mut order = Order { status: OrderStatus::Rejected, filled: BTreeMap::new() };
        if is_sold {
            order.status = OrderStatus::Confirmed;
        }
        for (place, units) in lines {
            let product = &mut self.products[*place];
            let is_short = *units > product.on_hand;
            if is_sold {
                for _ in 0..*units {
                    if product.on_hand > 0 {
                        product.on_hand -= 1;
                        product.sold += 1;
                        *order.filled.entry(*place).or_default() += 1;
                    } else {
                        product.queue.push_back(number);
                        order.status = OrderStatus::Backordered;
                    }
                }
            }
            if is_sold || is_short {
                self.ask(*place, is_short, wanted);
            }
        }
        self.orders.push(order);
    }

    fn cancel(&mut self, number: usize, wanted: &mut Wanted) {
        self.orders[number].status = OrderStatus::Cancelled;
        let filled = std::mem::take(&mut self.orders[number].filled);
        for place in 0..self.products.len() {
            let waited = self.products[place].waiting();
            self.products[place].queue.retain(|order| *order != number);
            let units = filled.get(&place).copied().unwrap_or_default();
            self.products[place].cancelled += units;
            self.come_in(place, units);
            if units > 0 || self.products[place].waiting() < waited {
                self.ask(place, false, wanted);
            }
        }
    }

    fn receive(&mut self, receipt: usize, wanted: &mut Wanted) {
        if !self.seen.insert(receipt) {
            return;
        }
        let (place, replenishment, units) = self.receipts[receipt];
        let product = &mut self.products[place];
        product.received += units;
        if let Some(replenishment) = replenishment
            && let Some(left) = product.to_come.get_mut(&replenishment)
        {
            *left -= units;
            if *left <= 0 {
                product.to_come.remove(&replenishment);
            }
        }
        self.come_in(place, units);
        self.ask(place, false, wanted);
    }

    /// Unit by unit: to who waits longest, else on the shelf.
    fn come_in(&mut self, place: usize, units: i64) {
        for _ in 0..units {
            let product = &mut self.products[place];
            let Some(number) = product.queue.pop_front() else {
                product.on_hand += 1;
                continue;
            };
            product.sold += 1;
            *self.orders[number].filled.entry(place).or_default() += 1;
            if self.products.iter().all(|product| !product.queue.contains(&number)) {
                self.orders[number].status = OrderStatus::Confirmed;
            }
        }
    }

    /// Lot by lot, until there is enough.
    fn ask(&self, place: usize, is_short: bool, wanted: &mut Wanted) {
        let product = &self.products[place];
        let rules = &product.rules;
        let is_proposal = rules.mode == Mode::Manual;
        if rules.mode == Mode::Off || product.is_paused || (is_proposal && !product.proposals.is_empty()) {
            return;
        }
        let position = product.position();
        let is_low = position <= rules.reorder_point;
        let is_sold_out = is_short && product.on_order() == 0 && position < rules.order_up_to;
        if !is_low && !is_sold_out {
            return;
        }
        let mut units = 0;
        while position + units < rules.order_up_to {
            units += rules.lot_size;
        }
        wanted.push((place, units, is_proposal));
    }
}
