//! Random whole lives of a shop, step by step against an independent model that counts single units.
//!
//! [`Shop`] is what the commands do with the rules, on memory instead of rows. [`model::Model`]
//! knows nothing of them.

mod model;
mod shop;

use proptest::prelude::*;
use shared::ids::{Quantity, Sku};

use self::model::Model;
use self::shop::Shop;
use super::order::OnShortage;
use super::policy::{Mode, Shortage};
use super::replenishment::Outcome;
use super::shelf::Limits;
use super::stock::Cause;

const PRODUCTS: usize = 3;

/// What may happen to a shop. Numbers choose among what is there, round and round.
#[derive(Debug, Clone)]
enum Step {
    Order { lines: Vec<(usize, i64)>, on_shortage: Option<OnShortage> },
    Cancel { order: usize },
    Adjust { product: usize, cause: Cause, delta: i64 },
    Receive { replenishment: usize, units: i64 },
    ReceiveAgain { receipt: usize },
    ReceiveUnasked { product: usize, units: i64 },
    Outcome { replenishment: usize, outcome: Outcome, revision: i64 },
    Close { replenishment: usize },
    Approve { replenishment: usize },
    ByHand { product: usize, quantity: i64 },
    Pause { product: usize, is_paused: bool },
    HandOut { product: usize },
    Sweep { product: usize },
}

/// Low enough to be met.
const LIMITS: Limits = Limits { open_max: 3, auto_units_max: 40, max_backordered: 30, max_per_order: 1_000 };
/// Lines that are filled at once.
const FILLED_MAX: usize = 2;

fn step() -> impl Strategy<Value = Step> {
    let any = 0_usize..100;
    let product = 0_usize..PRODUCTS;
    let shortage = prop_oneof![Just(OnShortage::Reject), Just(OnShortage::Backorder)];
    let lines = prop::collection::btree_map(product.clone(), 1_i64..12, 1..=PRODUCTS);
    let outcome = prop_oneof![
        2 => Just(Outcome::Accepted),
        1 => Just(Outcome::DeadLettered),
        1 => Just(Outcome::Refused),
        1 => Just(Outcome::Cancelled),
    ];
    let cause = prop_oneof![Just(Cause::CycleCount), Just(Cause::Damage), Just(Cause::Return), Just(Cause::Correction)];
    prop_oneof![
        8 => (lines, prop::option::of(shortage))
            .prop_map(|(lines, on_shortage)| Step::Order { lines: lines.into_iter().collect(), on_shortage }),
        3 => any.clone().prop_map(|order| Step::Cancel { order }),
        2 => (product.clone(), cause, (-8_i64..8).prop_filter("not zero", |delta| *delta != 0))
            .prop_map(|(product, cause, delta)| Step::Adjust { product, cause, delta }),
        5 => (any.clone(), 1_i64..20).prop_map(|(replenishment, units)| Step::Receive { replenishment, units }),
        2 => any.clone().prop_map(|receipt| Step::ReceiveAgain { receipt }),
        1 => (product.clone(), 1_i64..6).prop_map(|(product, units)| Step::ReceiveUnasked { product, units }),
        4 => (any.clone(), outcome, 0_i64..6)
            .prop_map(|(replenishment, outcome, revision)| Step::Outcome { replenishment, outcome, revision }),
        1 => any.clone().prop_map(|replenishment| Step::Close { replenishment }),
        2 => any.prop_map(|replenishment| Step::Approve { replenishment }),
        1 => (product.clone(), 1_i64..20).prop_map(|(product, quantity)| Step::ByHand { product, quantity }),
        1 => (product.clone(), any_bool()).prop_map(|(product, is_paused)| Step::Pause { product, is_paused }),
        4 => product.clone().prop_map(|product| Step::HandOut { product }),
        1 => product.prop_map(|product| Step::Sweep { product }),
    ]
}

fn any_bool() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.4)
}

/// A policy's numbers, as both are told them.
#[derive(Debug, Clone, Copy)]
struct Rules {
    reorder_point: i64,
    order_up_to: i64,
    lot_size: i64,
    mode: Mode,
    shortage: Shortage,
    max_backordered: Option<i64>,
}

fn rules() -> impl Strategy<Value = Rules> {
    let mode = prop_oneof![4 => Just(Mode::Auto), 2 => Just(Mode::Manual), 1 => Just(Mode::Off)];
    let shortage = prop_oneof![Just(Shortage::Reject), Just(Shortage::Backorder), Just(Shortage::Choice)];
    (0_i64..8, 1_i64..20, 1_i64..9, mode, shortage, prop::option::of(0_i64..15)).prop_map(
        |(reorder_point, above, lot_size, mode, shortage, max_backordered)| {
            let order_up_to = reorder_point + above;
            Rules { reorder_point, order_up_to, lot_size, mode, shortage, max_backordered }
        },
    )
}

fn sku(product: usize) -> Sku {
    format!("SKU-{product}").parse().expect("a SKU")
}

fn quantity(units: i64) -> Quantity {
    Quantity::try_from(units).expect("1 or more")
}

/// Whatever was asked of both, both say the same, and the books agree.
fn agree(shop: &Shop, model: &Model) -> Result<(), TestCaseError> {
    for product in 0..PRODUCTS {
        let (sku, expected) = (sku(product), &model.products[product]);
        let figures = shop.shelves[&sku].figures;
        // Rule 1, and the last part of rule 6.
        prop_assert!(figures.on_hand >= 0 && figures.backordered >= 0 && figures.on_order >= 0, "{:?}", figures);
        prop_assert!(figures.on_hand == 0 || figures.backordered == 0, "{:?}", figures);
        prop_assert_eq!(figures.on_hand, expected.on_hand, "on hand of {}", &sku);
        prop_assert_eq!(figures.backordered, expected.waiting(), "backordered of {}", &sku);
        prop_assert_eq!(figures.on_order, expected.on_order(), "on order of {}", &sku);
        prop_assert_eq!(shop.under_way(product), expected.under_way(), "replenishments of {}", &sku);
        // Rule 2, from the ledger alone.
        let sum = |causes: &[Cause]| -> i64 {
            let mine = shop.ledger.iter().filter(|entry| entry.sku == sku && causes.contains(&entry.cause));
            mine.map(|entry| entry.delta).sum()
        };
        let (received, cancelled) = (sum(&[Cause::Receipt]), sum(&[Cause::Cancellation]));
        let adjusted = sum(&[Cause::CycleCount, Cause::Damage, Cause::Return, Cause::Correction]);
        let sold = -sum(&[Cause::Sale, Cause::BackorderFill]);
        prop_assert_eq!(received + adjusted + cancelled - sold, figures.on_hand);
        prop_assert_eq!(received, expected.received, "received of {}", &sku);
        prop_assert_eq!(adjusted, expected.adjusted, "adjusted of {}", &sku);
        prop_assert_eq!(cancelled, expected.cancelled, "cancelled of {}", &sku);
        prop_assert_eq!(sold, expected.sold, "sold of {}", &sku);
        let mut on_hand = 0;
        for entry in shop.ledger.iter().filter(|entry| entry.sku == sku) {
            prop_assert_eq!(entry.before, on_hand, "entries chain");
            on_hand = entry.after();
        }
    }
    for (order, expected) in shop.orders.iter().zip(&model.orders) {
        prop_assert_eq!(order.status, expected.status);
        for line in &order.lines {
            let filled = expected.filled.get(&line.product).copied().unwrap_or_default();
            prop_assert_eq!(line.filled, filled, "oldest first");
        }
    }
    prop_assert_eq!(shop.orders.len(), model.orders.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Rules 1, 2, 5 and 6 over whole lives.
    #[test]
    fn a_shop_does_what_its_model_says(
        rules in prop::collection::vec(rules(), PRODUCTS),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut shop = Shop::new(&rules);
        let mut model = Model::new(rules);
        for step in &steps {
            let made = shop.apply(step);
            // Rule 5: the model says whether this step asks for more, of what, and how much.
            let wanted = model.apply(step, &made);
            let made: Vec<(usize, i64, bool)> = made.iter().map(|new| (new.product, new.quantity, new.is_proposal)).collect();
            prop_assert_eq!(made, wanted, "after {:?}", step);
            agree(&shop, &model)?;
        }
    }
}
