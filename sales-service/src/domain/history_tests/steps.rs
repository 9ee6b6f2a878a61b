//! Random steps in the history of a shop.

use proptest::prelude::*;
use sales_service::domain::order::OnShortage;
use sales_service::domain::policy::{Mode, Shortage};
use sales_service::domain::product_state::Limits;
use sales_service::domain::replenishment::OutcomeKind;
use sales_service::domain::stock::Cause;

pub(crate) const PRODUCTS: usize = 3;

/// One step. Indices are taken modulo the number of orders, replenishments or receipts.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Order { lines: Vec<(usize, i64)>, on_shortage: Option<OnShortage> },
    Cancel { order: usize },
    Adjust { product: usize, cause: Cause, delta: i64 },
    Receive { replenishment: usize, units: i64 },
    ReceiveAgain { receipt: usize },
    ReceiveUnrequested { product: usize, units: i64 },
    Outcome { replenishment: usize, outcome: OutcomeKind, revision: i64 },
    Close { replenishment: usize },
    Approve { replenishment: usize },
    ByHand { product: usize, quantity: i64 },
    Pause { product: usize, is_paused: bool },
    HandOut { product: usize },
    Sweep { product: usize },
}

/// Low enough that random histories reach them.
pub(crate) const LIMITS: Limits = Limits { open_max: 3, auto_units_max: 40, max_backordered: 30, max_per_order: 1_000 };
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let any = 0_usize..100;
    let product = 0_usize..PRODUCTS;
    let shortage = prop_oneof![Just(OnShortage::Reject), Just(OnShortage::Backorder)];
    let lines = prop::collection::btree_map(product.clone(), 1_i64..12, 1..=PRODUCTS);
    let outcome = prop_oneof![
        2 => Just(OutcomeKind::Accepted),
        1 => Just(OutcomeKind::DeadLettered),
        1 => Just(OutcomeKind::Refused),
        1 => Just(OutcomeKind::Cancelled),
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
        1 => (product.clone(), 1_i64..6).prop_map(|(product, units)| Step::ReceiveUnrequested { product, units }),
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

/// A policy's numbers, as given to both shop and model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) reorder_point: i64,
    pub(crate) order_up_to: i64,
    pub(crate) lot_size: i64,
    pub(crate) mode: Mode,
    pub(crate) shortage: Shortage,
    pub(crate) max_backordered: Option<i64>,
}

pub(crate) fn rules() -> impl Strategy<Value = Rules> {
    let mode = prop_oneof![4 => Just(Mode::Auto), 2 => Just(Mode::Manual), 1 => Just(Mode::Off)];
    let shortage = prop_oneof![Just(Shortage::Reject), Just(Shortage::Backorder), Just(Shortage::Choice)];
    (0_i64..8, 1_i64..20, 1_i64..9, mode, shortage, prop::option::of(0_i64..15)).prop_map(
        |(reorder_point, above, lot_size, mode, shortage, max_backordered)| {
            let order_up_to = reorder_point + above;
            Rules { reorder_point, order_up_to, lot_size, mode, shortage, max_backordered }
        },
    )
}

/// A replenishment created by a step.
pub(crate) struct Made {
    pub(crate) product: usize,
    pub(crate) quantity: i64,
    pub(crate) is_proposal: bool,
    /// Index among all replenishments.
    pub(crate) place: usize,
}
