//! Batches of random orders.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shared::ids::{OrderId, Quantity, RequestId, Sku};
use uuid::Uuid;

use super::intake::{NewOrder, decide_orders};
use super::order::OrderStatus;
use super::policy::{Mode, Policy, Shortage};
use super::shelf::{Shelf, Shelves};
use super::stock::Figures;

fn sku(index: usize) -> Sku {
    format!("SKU-{index}").parse().expect("sku")
}

prop_compose! {
    fn shelf()(
        on_hand in 0_i64..40,
        reorder_point in 0_i64..10,
        above in 1_i64..30,
        lot_size in 1_i64..12,
        mode in prop_oneof![4 => Just(Mode::Auto), 1 => Just(Mode::Manual), 1 => Just(Mode::Off)],
        shortage in prop_oneof![Just(Shortage::Reject), Just(Shortage::Backorder)],
        max_backordered in prop::option::of(0_i64..20),
        unit_price in 0_i64..1000,
        on_sale in prop::bool::weighted(0.95),
        is_paused in prop::bool::weighted(0.1),
    ) -> Shelf {
        Shelf {
            figures: Figures { on_hand, backordered: 0, on_order: 0 },
            policy: Policy::new(reorder_point, reorder_point + above, lot_size, mode, shortage, max_backordered)
                .expect("valid by construction"),
            factory_id: "FF-1".parse().expect("factory"),
            unit_price,
            on_sale,
            open_replenishments: Vec::new(),
            has_proposal: false,
            is_paused,
        }
    }
}

fn shelves() -> impl Strategy<Value = Shelves> {
    prop::collection::vec(shelf(), 1..4)
        .prop_map(|shelves| shelves.into_iter().enumerate().map(|(index, shelf)| (sku(index), shelf)).collect())
}

fn orders() -> impl Strategy<Value = Vec<NewOrder>> {
    let order = (
        prop::collection::btree_map(0_usize..4, 1_i64..15, 1..4),
        prop::option::of(prop_oneof![Just(Shortage::Reject), Just(Shortage::Backorder)]),
    );
    prop::collection::vec(order, 0..40).prop_map(|orders| {
        let build = |(number, (lines, on_shortage)): (usize, (BTreeMap<usize, i64>, Option<Shortage>))| NewOrder {
            id: OrderId(Uuid::from_u128(number as u128)),
            lines: lines
                .into_iter()
                .map(|(index, units)| (sku(index), Quantity::try_from(units).expect("in range")))
                .collect(),
            on_shortage,
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

    /// Rules 1, 2, 5 and 6 for orders.
    #[test]
    fn stock_is_conserved_and_never_below_zero(before in shelves(), orders in orders()) {
        let mut after = before.clone();
        let decision = decide_orders(&mut after, &orders, &mut ids());
        prop_assert_eq!(decision.orders.len(), orders.len());
        for (sku, shelf) in &after {
            let figures = shelf.figures;
            prop_assert!(figures.on_hand >= 0 && figures.backordered >= 0 && figures.on_order >= 0);
            prop_assert!(figures.on_hand == 0 || figures.backordered == 0, "{:?}", figures);
            let lines = || decision.orders.iter().flatten().flat_map(|order| &order.lines).filter(|line| &line.sku == sku);
            let sold: i64 = lines().map(|line| line.filled).sum();
            let waiting: i64 = lines().map(|line| line.waiting).sum();
            prop_assert_eq!(before[sku].figures.on_hand - sold, figures.on_hand);
            prop_assert_eq!(waiting, figures.backordered);
            let moved: i64 = decision.movements.iter().filter(|entry| &entry.sku == sku).map(|entry| entry.delta).sum();
            prop_assert_eq!(moved, -sold, "the ledger tells the same");
            let ordered: i64 = decision.replenishments.iter()
                .filter(|replenishment| &replenishment.sku == sku && !replenishment.is_proposal)
                .map(|replenishment| replenishment.need.quantity.get()).sum();
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
        let mut on_hand: BTreeMap<&Sku, i64> = before.iter().map(|(sku, shelf)| (sku, shelf.figures.on_hand)).collect();
        for entry in &decision.movements {
            prop_assert_eq!(on_hand.get(&entry.sku), Some(&entry.before), "entries chain");
            on_hand.insert(&entry.sku, entry.after());
        }
    }

    /// However arrivals are cut into batches, every answer is the same.
    #[test]
    fn a_batch_is_the_same_as_one_by_one(before in shelves(), orders in orders(), cut in 1_usize..8) {
        let mut together = before.clone();
        let whole = decide_orders(&mut together, &orders, &mut ids());
        for size in [1, cut] {
            let mut shelves = before.clone();
            let mut new_id = ids();
            let (mut answers, mut movements, mut replenishments) = (Vec::new(), Vec::new(), Vec::new());
            for batch in orders.chunks(size) {
                let decision = decide_orders(&mut shelves, batch, &mut new_id);
                answers.extend(decision.orders);
                movements.extend(decision.movements);
                replenishments.extend(decision.replenishments);
            }
            prop_assert_eq!(&answers, &whole.orders);
            prop_assert_eq!(&movements, &whole.movements);
            prop_assert_eq!(&replenishments, &whole.replenishments);
            prop_assert_eq!(&shelves, &together);
        }
    }

    /// Rule 5: refused orders on an empty shelf make at most one request among them.
    #[test]
    fn a_thousand_refusals_make_one_request(mut shelf in shelf(), count in 1_usize..1000) {
        shelf.figures.on_hand = 0;
        shelf.on_sale = true;
        let mut shelves = Shelves::from([(sku(0), shelf)]);
        let one = Quantity::try_from(1).expect("one");
        let orders: Vec<NewOrder> = (0..count).map(|number| NewOrder {
            id: OrderId(Uuid::from_u128(number as u128)),
            lines: vec![(sku(0), one)],
            on_shortage: Some(Shortage::Reject),
        }).collect();
        let decision = decide_orders(&mut shelves, &orders, &mut ids());
        prop_assert!(decision.replenishments.len() <= 1);
        let can_order = shelves[&sku(0)].policy.mode() != Mode::Off && !shelves[&sku(0)].is_paused;
        prop_assert_eq!(decision.replenishments.len(), usize::from(can_order));
        prop_assert!(decision.movements.is_empty());
    }
}
