//! Property tests over random histories of a shop, checked step by step against an independent model that counts
//! single units.
//!
//! [`Shop`] applies the rules as the commands do, in memory instead of in rows. [`model::Model`] shares no code with
//! the rules. The tests with two replicas take the same steps and use the same model.

mod model;
mod shop;
mod steps;

use jaego_contracts::ids::{Quantity, Sku};
use proptest::prelude::*;

use self::model::Model;
use self::shop::Shop;
use self::steps::{PRODUCTS, rules, step};
use super::stock::Cause;

/// Maximum lines filled at once.
const FILLED_MAX: usize = 2;

fn sku(product: usize) -> Sku {
    format!("SKU-{product}").parse().expect("a SKU")
}

fn quantity(units: i64) -> Quantity {
    Quantity::try_from(units).expect("1 or more")
}

/// Checks that shop and model agree and that the books balance.
fn agree(shop: &Shop, model: &Model) -> Result<(), TestCaseError> {
    for product in 0..PRODUCTS {
        let (sku, expected) = (sku(product), &model.products[product]);
        let figures = shop.states[&sku].figures;
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

    /// Rules 1, 2, 5 and 6 over whole histories.
    #[test]
    fn a_shop_behaves_as_its_model(
        rules in prop::collection::vec(rules(), PRODUCTS),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut shop = Shop::new(&rules);
        let mut model = Model::new(rules, FILLED_MAX);
        for step in &steps {
            let made = shop.apply(step);
            // Rule 5: the model predicts whether this step orders more, of which product, and how much.
            let wanted = model.apply(step, &made);
            let made: Vec<(usize, i64, bool)> = made.iter().map(|new| (new.product, new.quantity, new.is_proposal)).collect();
            prop_assert_eq!(made, wanted, "after {:?}", step);
            agree(&shop, &model)?;
        }
    }
}
