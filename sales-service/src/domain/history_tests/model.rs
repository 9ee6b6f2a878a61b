//! A naive model of a shop: single units, a queue, and a list of replenishments.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sales_service::domain::order::{OnShortage, OrderStatus};
use sales_service::domain::policy::{Mode, Shortage};
use sales_service::domain::replenishment::OutcomeKind;
use sales_service::domain::stock::Cause;

use super::steps::{LIMITS, Made, Rules, Step};

pub(crate) struct Product {
    rules: Rules,
    is_snoozed: bool,
    is_refused: bool,
    pub(crate) on_hand: i64,
    /// Orders in order of arrival, once for each unit they wait for.
    queue: VecDeque<usize>,
    pub(crate) received: i64,
    pub(crate) adjusted: i64,
    pub(crate) cancelled: i64,
    pub(crate) sold: i64,
    /// Units still to come for each replenishment that counts as on order.
    to_come: BTreeMap<usize, i64>,
    proposals: BTreeMap<usize, i64>,
    /// The replenishments on order that were requested by hand.
    by_hand: BTreeSet<usize>,
    /// Units that have arrived and are still to be handed out.
    left: VecDeque<(Cause, i64)>,
}

impl Product {
    pub(crate) fn waiting(&self) -> i64 {
        i64::try_from(self.queue.len()).expect("few")
    }

    fn position(&self) -> i64 {
        self.on_hand + self.on_order() - self.waiting()
    }

    /// Indices of the replenishments on order or proposed.
    pub(crate) fn under_way(&self) -> BTreeSet<usize> {
        self.to_come.keys().chain(self.proposals.keys()).copied().collect()
    }

    pub(crate) fn on_order(&self) -> i64 {
        self.to_come.values().sum::<i64>() + self.left.iter().map(|(_, units)| units).sum::<i64>()
    }

    /// Units to order: whole lots until the position reaches the order-up-to level.
    fn missing(&self) -> i64 {
        let mut units = 0;
        while self.position() + units < self.rules.order_up_to {
            units += self.rules.lot_size;
        }
        units
    }

    fn automatic_open(&self) -> usize {
        self.to_come.keys().filter(|place| !self.by_hand.contains(place)).count()
    }
}

pub(crate) struct Order {
    pub(crate) status: OrderStatus,
    /// Units filled, by product.
    pub(crate) filled: BTreeMap<usize, i64>,
}

pub(crate) struct Model {
    pub(crate) products: Vec<Product>,
    pub(crate) orders: Vec<Order>,
    /// The product of each replenishment.
    asked: Vec<usize>,
    revisions: BTreeMap<usize, i64>,
    receipts: Vec<(usize, Option<usize>, i64)>,
    seen: BTreeSet<usize>,
    /// Maximum orders served at once when units arrive.
    filled_max: usize,
}

type Wanted = Vec<(usize, i64, bool)>;

impl Model {
    pub(crate) fn new(rules: Vec<Rules>, filled_max: usize) -> Self {
        let product = |rules| Product {
            rules,
            is_snoozed: false,
            is_refused: false,
            on_hand: 0,
            queue: VecDeque::new(),
            received: 0,
            adjusted: 0,
            cancelled: 0,
            sold: 0,
            to_come: BTreeMap::new(),
            proposals: BTreeMap::new(),
            by_hand: BTreeSet::new(),
            left: VecDeque::new(),
        };
        Self {
            products: rules.into_iter().map(product).collect(),
            orders: Vec::new(),
            asked: Vec::new(),
            revisions: BTreeMap::new(),
            receipts: Vec::new(),
            seen: BTreeSet::new(),
            filled_max,
        }
    }

    /// Returns what this step should order: product, units, and whether it is only a proposal. From `made` it takes
    /// only the indices by which later steps refer to the replenishments.
    pub(crate) fn apply(&mut self, step: &Step, made: &[Made]) -> Wanted {
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
            Step::Adjust { product, cause, delta } if self.products[*product].on_hand + delta >= 0 => {
                if *delta > 0 {
                    self.come_in(*product, *cause, *delta, false);
                } else {
                    self.products[*product].adjusted += delta;
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
            Step::ReceiveUnrequested { product, units } => {
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
                    if counts && matches!(outcome, OutcomeKind::Refused | OutcomeKind::Cancelled) {
                        self.products[product].to_come.remove(&place);
                    }
                    if counts && *outcome == OutcomeKind::Refused {
                        self.products[product].is_refused = true;
                    }
                    if *outcome == OutcomeKind::Accepted {
                        self.products[product].is_refused = false;
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
                // Units that have become unnecessary since the proposal are not ordered.
                let is_needed = product.position() <= product.rules.reorder_point
                    || (product.on_order() == 0 && product.position() < product.rules.order_up_to);
                let missing = product.missing();
                if is_needed && let Some(units) = product.proposals.remove(&place) {
                    product.to_come.insert(place, units.min(missing));
                }
            }
            Step::ByHand { product, quantity } => wanted.push((*product, *quantity, false)),
            Step::Pause { product, is_paused } => self.products[*product].is_snoozed = *is_paused,
            Step::HandOut { product } => {
                if let Some((cause, units)) = self.products[*product].left.pop_front() {
                    self.come_in(*product, cause, units, true);
                    self.ask(*product, false, &mut wanted);
                }
            }
            Step::Sweep { product } => self.ask(*product, false, &mut wanted),
            _ => {}
        }
        for ((product, units, is_proposal), new) in wanted.iter().zip(made) {
            assert_eq!(new.place, self.asked.len());
            self.asked.push(*product);
            let product = &mut self.products[*product];
            let list = if *is_proposal { &mut product.proposals } else { &mut product.to_come };
            list.insert(new.place, *units);
            if matches!(step, Step::ByHand { .. }) {
                product.by_hand.insert(new.place);
            }
        }
        wanted
    }

    fn order(&mut self, lines: &[(usize, i64)], on_shortage: Option<OnShortage>, wanted: &mut Wanted) {
        let number = self.orders.len();
        let is_sold = lines.iter().all(|(product, units)| {
            let product = &self.products[*product];
            let missing = units - product.on_hand;
            let may_wait = match (product.rules.shortage, on_shortage) {
                (Shortage::Reject, _) | (_, Some(OnShortage::Reject)) | (Shortage::Choice, None) => false,
                (Shortage::Backorder, _) | (Shortage::Choice, Some(OnShortage::Backorder)) => true,
            };
            let room = product.rules.max_backordered.unwrap_or(LIMITS.max_backordered) - product.waiting();
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
            self.come_in(place, Cause::Cancellation, units, false);
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
        if replenishment.is_some() {
            product.is_refused = false;
        }
        if let Some(replenishment) = replenishment
            && let Some(left) = product.to_come.get_mut(&replenishment)
        {
            *left -= units;
            if *left <= 0 {
                product.to_come.remove(&replenishment);
            }
        }
        self.come_in(place, Cause::Receipt, units, false);
        self.ask(place, false, wanted);
    }

    /// Hands out unit by unit: to the longest-waiting orders, at most `filled_max` of them, then to stock. Units for
    /// further waiting orders are left.
    fn come_in(&mut self, place: usize, cause: Cause, units: i64, is_first: bool) {
        let mut served = BTreeSet::new();
        let mut left = units;
        while left > 0 {
            let product = &mut self.products[place];
            let Some(number) = product.queue.front().copied() else {
                product.on_hand += left;
                left = 0;
                break;
            };
            served.insert(number);
            if served.len() > self.filled_max {
                break;
            }
            product.queue.pop_front();
            left -= 1;
            product.sold += 1;
            *self.orders[number].filled.entry(place).or_default() += 1;
            if self.products.iter().all(|product| !product.queue.contains(&number)) {
                self.orders[number].status = OrderStatus::Confirmed;
            }
        }
        let product = &mut self.products[place];
        match cause {
            Cause::Receipt => product.received += units - left,
            Cause::Cancellation => product.cancelled += units - left,
            _ => product.adjusted += units - left,
        }
        match left {
            0 => {}
            _ if is_first => product.left.push_front((cause, left)),
            _ => product.left.push_back((cause, left)),
        }
    }

    /// Orders lot by lot until there is enough, or until the automatic limit is reached.
    fn ask(&self, place: usize, is_short: bool, wanted: &mut Wanted) {
        let product = &self.products[place];
        let rules = &product.rules;
        if rules.mode == Mode::Off || product.is_snoozed || product.is_refused {
            return;
        }
        let asks = |position: i64, on_order: i64| {
            position <= rules.reorder_point || (is_short && on_order == 0 && position < rules.order_up_to)
        };
        let (position, on_order) = (product.position(), product.on_order());
        if !asks(position, on_order) {
            return;
        }
        let (mut units, mut is_cut) = (0, false);
        if rules.mode == Mode::Auto {
            if product.automatic_open() >= LIMITS.open_max {
                return;
            }
            while position + units < rules.order_up_to && !is_cut {
                is_cut = on_order + units + rules.lot_size > LIMITS.auto_units_max;
                units += if is_cut { 0 } else { rules.lot_size };
            }
            if units > 0 {
                wanted.push((place, units, false));
            }
        }
        let is_for_a_person = is_cut || rules.mode == Mode::Manual;
        if is_for_a_person && product.proposals.is_empty() && asks(position + units, on_order + units) {
            let mut rest = 0;
            while position + units + rest < rules.order_up_to {
                rest += rules.lot_size;
            }
            wanted.push((place, rest, true));
        }
    }
}
