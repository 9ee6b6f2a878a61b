//! Property tests over batches of random orders.

use std::collections::BTreeMap;

use jaego_contracts::ids::{OrderId, Quantity, RequestId, Sku};
use proptest::prelude::*;
use uuid::Uuid;

use super::intake::{BatchDecision, DecidedOrder, NewOrder, decide_orders};
use super::order::{OnShortage, OrderStatus};
use super::policy::{Mode, Policy, Shortage};
use super::product_state::{Limits, Pauses, ProductState, ProductStates};
use super::stock::Figures;

/// High enough not to interfere, except the limit per order, which some random orders exceed.
const LIMITS: Limits =
    Limits { open_max: 1_000, auto_units_max: 1_000_000, max_backordered: 1_000_000, max_per_order: 10 };

fn sku(index: usize) -> Sku {
    format!("SKU-{index}").parse().expect("sku")
}

prop_compose! {
    fn state()(
        on_hand in 0_i64..40,
        reorder_point in 0_i64..10,
        above in 1_i64..30,
        lot_size in 1_i64..12,
        mode in prop_oneof![4 => Just(Mode::Auto), 1 => Just(Mode::Manual), 1 => Just(Mode::Off)],
        shortage in prop_oneof![Just(Shortage::Reject), Just(Shortage::Backorder), Just(Shortage::Choice)],
        max_backordered in prop::option::of(0_i64..20),
        unit_price in 0_i64..1000,
        on_sale in prop::bool::weighted(0.95),
        is_paused in prop::bool::weighted(0.1),
    ) -> ProductState {
        ProductState {
            figures: Figures { on_hand, backordered: 0, on_order: 0 },
            policy: Policy::new(reorder_point, reorder_point + above, lot_size, mode, shortage, max_backordered)
                .expect("valid by construction"),
            factory_id: "FF-1".parse().expect("factory"),
            unit_price,
            on_sale,
            max_per_order: None,
            lead_time_s: Some(40),
            open: Vec::new(),
            automatic_open: 0,
            has_proposal: false,
            pauses: Pauses { snoozed_until: is_paused.then_some(1), ..Pauses::default() },
            changed_at: 0,
        }
    }
}

fn states() -> impl Strategy<Value = ProductStates> {
    prop::collection::vec(state(), 1..4)
        .prop_map(|states| states.into_iter().enumerate().map(|(index, state)| (sku(index), state)).collect())
}

fn orders() -> impl Strategy<Value = Vec<NewOrder>> {
    let order = (
        prop::collection::btree_map(0_usize..4, 1_i64..15, 1..4),
        prop::option::of(prop_oneof![Just(OnShortage::Reject), Just(OnShortage::Backorder)]),
        prop::bool::weighted(0.2),
    );
    prop::collection::vec(order, 0..40).prop_map(|orders| {
        type Wish = (BTreeMap<usize, i64>, Option<OnShortage>, bool);
        let build = |(number, (lines, on_shortage, is_limited)): (usize, Wish)| NewOrder {
            id: OrderId(Uuid::from_u128(number as u128)),
            lines: lines
                .into_iter()
                .map(|(index, units)| (sku(index), Quantity::try_from(units).expect("in range")))
                .collect(),
            on_shortage,
            is_limited,
        };
        orders.into_iter().enumerate().map(build).collect()
    })
}

fn ids() -> impl FnMut() -> RequestId {
    let mut next = 0_u128;
    move || {
        next += 1;
        RequestId(Uuid::from_u128(next))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Stock, ledger, orders and replenishments of a batch agree, and nothing is oversold.
    #[test]
    fn stock_is_conserved_and_never_below_zero(before in states(), orders in orders()) {
        let mut after = before.clone();
        let decision = decide_orders(&mut after, &orders, LIMITS, 0, &mut ids());
        prop_assert_eq!(decision.orders.len(), orders.len());
        for (sku, state) in &after {
            let figures = state.figures;
            prop_assert!(figures.on_hand >= 0 && figures.backordered >= 0 && figures.on_order >= 0);
            prop_assert!(figures.on_hand == 0 || figures.backordered == 0, "{:?}", figures);
            let lines = || decision.orders.iter().flatten().flat_map(|order| &order.lines).filter(|line| &line.sku == sku);
            let sold: i64 = lines().map(|line| line.filled).sum();
            let waiting: i64 = lines().map(|line| line.waiting).sum();
            prop_assert_eq!(before[sku].figures.on_hand - sold, figures.on_hand);
            prop_assert_eq!(waiting, figures.backordered);
            let moved: i64 = decision.movements.iter().filter(|entry| &entry.sku == sku).map(|entry| entry.delta).sum();
            prop_assert_eq!(moved, -sold, "the ledger agrees");
            let ordered: i64 = decision.replenishments.iter()
                .filter(|caused| &caused.new.sku == sku && !caused.new.is_proposal)
                .map(|caused| caused.new.need.quantity.get()).sum();
            prop_assert_eq!(ordered, figures.on_order);
        }
        for order in decision.orders.iter().flatten() {
            let mut total = 0;
            for line in &order.lines {
                prop_assert_eq!(line.unit_price, before[&line.sku].unit_price);
                (0..line.quantity.get()).for_each(|_| total += line.unit_price);
            }
            prop_assert_eq!(order.total(), total);
            let taken: i64 = order.lines.iter().map(|line| line.filled + line.waiting).sum();
            let asked: i64 = order.lines.iter().map(|line| line.quantity.get()).sum();
            prop_assert_eq!(taken, if order.status == OrderStatus::Rejected { 0 } else { asked });
        }
        let mut on_hand: BTreeMap<&Sku, i64> = before.iter().map(|(sku, state)| (sku, state.figures.on_hand)).collect();
        for entry in &decision.movements {
            prop_assert_eq!(on_hand.get(&entry.sku), Some(&entry.before), "each entry continues the last");
            on_hand.insert(&entry.sku, entry.after());
        }
    }

    /// Every order gets the same units, however the arrivals are split into batches.
    #[test]
    fn a_batch_is_the_same_as_one_by_one(before in states(), orders in orders(), cut in 1_usize..8) {
        let sold = |decision: &BatchDecision| -> Vec<_> {
            let units = |order: &DecidedOrder| order.lines.iter().map(|line| (line.filled, line.waiting)).collect();
            let sold = |order: &DecidedOrder| -> (OrderStatus, Vec<(i64, i64)>) { (order.status, units(order)) };
            decision.orders.iter().map(|order| order.as_ref().map(sold).map_err(Clone::clone)).collect()
        };
        let mut together = before.clone();
        let whole = decide_orders(&mut together, &orders, LIMITS, 0, &mut ids());
        for size in [1, cut] {
            let mut states = before.clone();
            let mut new_id = ids();
            let (mut answers, mut movements) = (Vec::new(), Vec::new());
            for batch in orders.chunks(size) {
                let decision = decide_orders(&mut states, batch, LIMITS, 0, &mut new_id);
                answers.extend(sold(&decision));
                movements.extend(decision.movements);
            }
            prop_assert_eq!(answers, sold(&whole));
            prop_assert_eq!(&movements, &whole.movements);
            for (sku, state) in &states {
                let (one_by_one, at_once) = (state.figures, together[sku].figures);
                prop_assert_eq!((one_by_one.on_hand, one_by_one.backordered), (at_once.on_hand, at_once.backordered));
            }
        }
    }

    /// One decision covers the whole shortage of a batch, and each waiting order is linked only to the requests that
    /// cover its own place in the queue. The number of links grows with orders plus requests, not with their product.
    #[test]
    fn a_batch_requests_its_shortage_once(mut state in state(), count in 1_usize..200, units in 1_i64..20) {
        state.policy = Policy::new(0, 10, 7, Mode::Auto, Shortage::Backorder, None).expect("valid");
        state.on_sale = true;
        state.pauses = Pauses::default();
        let mut states = ProductStates::from([(sku(0), state)]);
        let quantity = Quantity::try_from(units).expect("in range");
        let orders: Vec<NewOrder> = (0..count).map(|number| NewOrder {
            id: OrderId(Uuid::from_u128(number as u128)),
            lines: vec![(sku(0), quantity)],
            on_shortage: None,
            is_limited: false,
        }).collect();
        let mut new_id = ids();
        let (mut links, mut requests) = (0, 0);
        for batch in orders.chunks(10) {
            let decision = decide_orders(&mut states, batch, LIMITS, 0, &mut new_id);
            prop_assert!(decision.replenishments.len() <= 1);
            requests += decision.replenishments.len();
            for order in decision.orders.into_iter().flatten() {
                let waiting: i64 = order.lines.iter().map(|line| line.waiting).sum();
                prop_assert_eq!(order.replenishments.is_empty(), waiting == 0);
                // Everything ordered has a due date here, so each waiting line is promised one.
                prop_assert_eq!(order.lines[0].restock_eta.is_some(), waiting > 0);
                links += order.replenishments.len();
            }
        }
        prop_assert!(links <= count + requests, "{} links of {} orders to {} requests", links, count, requests);
    }

    /// Refused orders for a product without stock cause at most one request among them.
    #[test]
    fn a_thousand_refusals_make_one_request(mut state in state(), count in 1_usize..1000) {
        state.figures.on_hand = 0;
        state.on_sale = true;
        let mut states = ProductStates::from([(sku(0), state)]);
        let one = Quantity::try_from(1).expect("one");
        let orders: Vec<NewOrder> = (0..count).map(|number| NewOrder {
            id: OrderId(Uuid::from_u128(number as u128)),
            lines: vec![(sku(0), one)],
            on_shortage: Some(OnShortage::Reject),
            is_limited: true,
        }).collect();
        let decision = decide_orders(&mut states, &orders, LIMITS, 0, &mut ids());
        prop_assert!(decision.replenishments.len() <= 1);
        let can_order = states[&sku(0)].policy.mode() != Mode::Off && !states[&sku(0)].pauses.hold(0);
        prop_assert_eq!(decision.replenishments.len(), usize::from(can_order));
        prop_assert!(decision.movements.is_empty());
    }
}
