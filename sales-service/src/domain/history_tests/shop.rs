//! Applies the rules as the commands do, but in memory instead of in the database.

use std::collections::BTreeSet;

use jaego_contracts::ids::{OrderId, RequestId};
use uuid::Uuid;

use super::super::goods::{Arrival, Source, WaitingLine, take_in};
use super::super::intake::{NewOrder, decide_orders};
use super::super::order::OrderStatus;
use super::super::policy::Policy;
use super::super::product_state::{NewReplenishment, Pauses, ProductState, ProductStates};
use super::super::replenishment::{RefusalPause, Replenishment, Status};
use super::super::stock::{Cause, Figures, Movement};
use super::steps::{LIMITS, Made, PRODUCTS, Rules, Step};
use super::{FILLED_MAX, quantity, sku};

pub(super) struct Line {
    pub(super) product: usize,
    id: i64,
    pub(super) filled: i64,
    waiting: i64,
}

pub(super) struct Order {
    id: OrderId,
    pub(super) status: OrderStatus,
    pub(super) lines: Vec<Line>,
}

pub(super) struct Shop {
    pub(super) states: ProductStates,
    pub(super) orders: Vec<Order>,
    pub(super) ledger: Vec<Movement<()>>,
    replenishments: Vec<(usize, Replenishment)>,
    /// Receipts as announced: product, replenishment, units.
    receipts: Vec<(usize, Option<usize>, i64)>,
    applied: BTreeSet<usize>,
    /// Units still to be handed out, by product, in order of arrival.
    left: Vec<Vec<(Cause, i64)>>,
    last_id: u128,
}

impl Shop {
    pub(super) fn new(rules: &[Rules]) -> Self {
        let policy = |rules: &Rules| {
            let Rules { reorder_point, order_up_to, lot_size, mode, shortage, max_backordered } = *rules;
            Policy::new(reorder_point, order_up_to, lot_size, mode, shortage, max_backordered).expect("a policy")
        };
        let state = |rules: &Rules| ProductState {
            figures: Figures::default(),
            policy: policy(rules),
            factory_id: "FF-1".parse().expect("a factory"),
            unit_price: 1,
            on_sale: true,
            max_per_order: None,
            lead_time_s: None,
            open: Vec::new(),
            automatic_open: 0,
            has_proposal: false,
            pauses: Pauses::default(),
            changed_at: 0,
        };
        let states = rules.iter().enumerate().map(|(product, rules)| (sku(product), state(rules))).collect();
        Self {
            states,
            orders: Vec::new(),
            ledger: Vec::new(),
            replenishments: Vec::new(),
            receipts: Vec::new(),
            applied: BTreeSet::new(),
            left: vec![Vec::new(); rules.len()],
            last_id: 0,
        }
    }

    /// Indices of the replenishments on order or proposed.
    pub(super) fn under_way(&self, product: usize) -> BTreeSet<usize> {
        let is_under_way = |replenishment: &Replenishment| {
            replenishment.status.is_on_order() || replenishment.status == Status::Proposed
        };
        let places = self.replenishments.iter().enumerate();
        let mine = places.filter(|(_, (of, replenishment))| *of == product && is_under_way(replenishment));
        mine.map(|(place, _)| place).collect()
    }

    /// Returns the replenishments created by this step, in order.
    pub(super) fn apply(&mut self, step: &Step) -> Vec<Made> {
        let before = self.replenishments.len();
        match step {
            Step::Order { lines, on_shortage } => {
                let lines = lines.iter().map(|(product, units)| (sku(*product), quantity(*units))).collect();
                let order =
                    NewOrder { id: OrderId(self.next_id()), lines, on_shortage: *on_shortage, is_limited: false };
                self.take(order);
            }
            Step::Cancel { order } if !self.orders.is_empty() => self.cancel(order % self.orders.len()),
            Step::Adjust { product, cause, delta } => {
                let figures = self.states[&sku(*product)].figures;
                if let Ok(arrival) = Arrival::of_adjustment(&figures, *cause, *delta) {
                    self.take_in(*product, arrival);
                }
            }
            Step::Receive { replenishment, units } if before > 0 => {
                let place = replenishment % before;
                // A proposal was never sent to a factory, so no goods arrive for it.
                if self.replenishments[place].1.status == Status::Proposed {
                    return Vec::new();
                }
                self.receipts.push((self.replenishments[place].0, Some(place), *units));
                self.receive(self.receipts.len() - 1);
            }
            Step::ReceiveAgain { receipt } if !self.receipts.is_empty() => self.receive(receipt % self.receipts.len()),
            Step::ReceiveUnrequested { product, units } => {
                self.receipts.push((*product, None, *units));
                self.receive(self.receipts.len() - 1);
            }
            Step::Outcome { replenishment, outcome, revision } if before > 0 => {
                let (product, replenishment) = &mut self.replenishments[replenishment % before];
                let product = *product;
                let state = self.states.get_mut(&sku(product)).expect("a product");
                let pause = RefusalPause { base_s: 1_000, max_s: 1_000 };
                replenishment.apply_outcome(state, *revision, *outcome, 0, pause);
            }
            Step::Close { replenishment } if before > 0 => {
                let (product, replenishment) = &mut self.replenishments[replenishment % before];
                replenishment.close(self.states.get_mut(&sku(*product)).expect("a product")).ok();
            }
            Step::Approve { replenishment } if before > 0 => {
                let (product, replenishment) = &mut self.replenishments[replenishment % before];
                replenishment.approve(self.states.get_mut(&sku(*product)).expect("a product")).ok();
            }
            Step::ByHand { product, quantity } => {
                let id = RequestId(self.next_id());
                let state = self.states.get_mut(&sku(*product)).expect("a product");
                let new = Replenishment::by_hand(state, id, *quantity);
                self.replenishments.push((*product, new));
            }
            Step::Pause { product, is_paused } => {
                let state = self.states.get_mut(&sku(*product)).expect("a product");
                state.pauses.snoozed_until = is_paused.then_some(1);
            }
            Step::HandOut { product } => self.hand_out(*product),
            Step::Sweep { product } => self.settle(*product),
            _ => {}
        }
        let made = self.replenishments.iter().enumerate().skip(before);
        made.map(|(place, (product, new))| Made {
            product: *product,
            quantity: new.quantity,
            is_proposal: new.status == Status::Proposed,
            place,
        })
        .collect()
    }

    fn next_id(&mut self) -> Uuid {
        self.last_id += 1;
        Uuid::from_u128(self.last_id)
    }

    fn take(&mut self, order: NewOrder) {
        let mut last_id = self.last_id;
        let mut new_id = || {
            last_id += 1;
            RequestId(Uuid::from_u128(last_id))
        };
        let decision = decide_orders(&mut self.states, std::slice::from_ref(&order), LIMITS, 0, &mut new_id);
        self.last_id = last_id;
        self.ledger.extend(decision.movements.into_iter().map(forget_reference));
        for decided in decision.orders.into_iter().flatten() {
            let lines = decided.lines.iter().map(|line| Line {
                product: place_of(&line.sku),
                id: i64::try_from(self.orders.len() * PRODUCTS + place_of(&line.sku)).expect("few"),
                filled: line.filled,
                waiting: line.waiting,
            });
            let lines = lines.collect();
            self.orders.push(Order { id: decided.id, status: decided.status, lines });
        }
        for new in decision.replenishments {
            self.keep(&new.new);
        }
    }

    fn keep(&mut self, new: &NewReplenishment) {
        let status = if new.is_proposal { Status::Proposed } else { Status::Open };
        let quantity = new.need.quantity.get();
        let replenishment =
            Replenishment { id: new.id, quantity, received: 0, status, revision: 0, is_automatic: true };
        self.replenishments.push((place_of(&new.sku), replenishment));
    }

    fn cancel(&mut self, place: usize) {
        let order = &mut self.orders[place];
        if order.status.cancel() != Ok(true) {
            return;
        }
        order.status = OrderStatus::Cancelled;
        let mut held = Vec::new();
        for line in &mut order.lines {
            let arrival = Arrival { cause: Cause::Cancellation, units: line.filled, given_up: line.waiting };
            held.push((line.product, arrival));
            (line.filled, line.waiting) = (0, 0);
        }
        for (product, arrival) in held {
            self.take_in(product, arrival);
        }
    }

    fn receive(&mut self, receipt: usize) {
        if !self.applied.insert(receipt) {
            return;
        }
        let (product, place, units) = self.receipts[receipt];
        if let Some(place) = place {
            let state = self.states.get_mut(&sku(product)).expect("a product");
            self.replenishments[place].1.receive(state, units);
        }
        self.take_in(product, Arrival { cause: Cause::Receipt, units, given_up: 0 });
    }

    fn take_in(&mut self, product: usize, arrival: Arrival) {
        self.take_in_as(product, arrival, false);
    }

    /// `is_first` is true for units that arrived before all others still to be handed out.
    fn take_in_as(&mut self, product: usize, arrival: Arrival, is_first: bool) {
        let waits = |order: &Order, line: &Line| {
            (line.product == product && line.waiting > 0).then_some(WaitingLine {
                order_id: order.id,
                line_id: line.id,
                waiting: line.waiting,
            })
        };
        let waiting = self.orders.iter().flat_map(|order| order.lines.iter().filter_map(|line| waits(order, line)));
        let waiting: Vec<WaitingLine> = waiting.take(FILLED_MAX).collect();
        let state = self.states.get_mut(&sku(product)).expect("a product");
        let incoming = take_in(&sku(product), &mut state.figures, arrival, &waiting);
        assert!(incoming.movements.iter().skip(1).all(|entry| matches!(entry.reference, Source::Order(_))));
        self.ledger.extend(incoming.movements.into_iter().map(forget_reference));
        for fill in incoming.fills {
            let order = self.orders.iter_mut().find(|order| order.id == fill.order_id).expect("an order");
            let line = order.lines.iter_mut().find(|line| line.id == fill.line_id).expect("a line");
            line.filled += fill.units;
            line.waiting -= fill.units;
            order.status = OrderStatus::of_sold(order.lines.iter().map(|line| line.waiting).sum());
        }
        if incoming.left > 0 {
            let place = if is_first { 0 } else { self.left[product].len() };
            self.left[product].insert(place, (arrival.cause, incoming.left));
        }
        self.settle(product);
    }

    fn hand_out(&mut self, product: usize) {
        if self.left[product].is_empty() {
            return;
        }
        let (cause, units) = self.left[product].remove(0);
        self.states.get_mut(&sku(product)).expect("a product").figures.release_on_order(units);
        self.take_in_as(product, Arrival { cause, units, given_up: 0 }, true);
    }

    fn settle(&mut self, product: usize) {
        let mut last_id = self.last_id;
        let mut new_id = || {
            last_id += 1;
            RequestId(Uuid::from_u128(last_id))
        };
        let state = self.states.get_mut(&sku(product)).expect("a product");
        let decided = state.replenish(&sku(product), false, LIMITS, 0, &mut new_id);
        self.last_id = last_id;
        for new in &decided {
            self.keep(new);
        }
    }
}

fn forget_reference<R>(entry: Movement<R>) -> Movement<()> {
    Movement { sku: entry.sku, cause: entry.cause, delta: entry.delta, before: entry.before, reference: () }
}

fn place_of(sku: &jaego_contracts::ids::Sku) -> usize {
    sku.as_str().trim_start_matches("SKU-").parse().expect("a number")
}
