use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn books(restock: i64, sales: i64, production: i64) -> Books {
    let of = |units: i64| if units == 0 { Received::new() } else { Received::from([("CP-502101".to_owned(), units)]) };
    Books { restock: of(restock), sales: of(sales), production: of(production) }
}

fn after(rounds: &[(i64, i64, i64)]) -> Vec<String> {
    let mut watch = Watch::default();
    for (restock, sales, production) in rounds {
        watch.observe(books(*restock, *sales, *production));
    }
    assert_eq!(watch.agrees(), watch.differences().is_empty());
    watch.differences().iter().map(ToString::to_string).collect()
}

#[test]
fn a_difference_names_the_services_and_the_quantity() {
    let cases = [
        ((30, 20, 30), "CP-502101: restock booked 30, sales applied 20 (10 missing), production saw 30"),
        ((30, 30, 31), "CP-502101: restock booked 30, sales applied 30, production saw 31 (1 too many)"),
        ((20, 30, 30), "CP-502101: restock booked 20, sales applied 30 (10 too many), production saw 30 (10 too many)"),
        ((0, 0, 7), "CP-502101: restock booked 0, sales applied 0, production saw 7 (7 too many)"),
        ((7, 0, 0), "CP-502101: restock booked 7, sales applied 0 (7 missing), production saw 0 (7 missing)"),
    ];
    for (round, reported) in cases {
        assert_eq!(after(&[round]), [reported]);
        assert_eq!(after(&[round, round, round]), [reported]);
    }
    assert!(after(&[(30, 30, 30)]).is_empty());
    assert!(after(&[(0, 0, 0)]).is_empty());
}

#[test]
fn units_in_transit_are_no_difference() {
    assert!(after(&[(30, 20, 20), (30, 30, 20), (30, 30, 30)]).is_empty());
    // Each agreed once, and more came in between.
    assert!(after(&[(30, 20, 30), (40, 40, 30)]).is_empty());
    // One arrived, the other never did.
    assert_eq!(
        after(&[(30, 20, 20), (30, 30, 20)]),
        [
            "CP-502101: restock booked 30, sales applied 30, production saw 20 (10 missing); receipts are still coming in"
        ]
    );
    // New in the second round, so it has not remained since the first.
    assert!(after(&[(30, 30, 30), (40, 30, 30)]).is_empty());
}

#[test]
fn totals_are_read_or_refused() {
    let report = json!({"totals": [{"sku": "A", "received": 3, "sold": 1}, {"sku": "B", "received": 0}, {"sku": "A", "received": 4}]});
    assert_eq!(received(&report), Ok(Received::from([("A".to_owned(), 7), ("B".to_owned(), 0)])));
    assert_eq!(received(&json!({"totals": []})), Ok(Received::new()));
    for bad in [
        json!({}),
        json!({"totals": {}}),
        json!({"totals": [{"sku": "A"}]}),
        json!({"totals": [{"sku": "A", "received": "3"}]}),
        json!({"totals": [{"received": 3}]}),
        json!({"totals": [{"sku": "A", "received": 1.5}]}),
        json!({"totals": [{"sku": "A", "received": i64::MAX}, {"sku": "A", "received": 1}]}),
    ] {
        assert!(received(&bad).is_err(), "{bad}");
    }
}

fn some_books() -> impl Strategy<Value = Received> {
    btree_map("[AB]", -3_i64..3, 0..3)
}

proptest! {
    /// Reports exactly the products whose figures are not all equal; an absent figure counts as 0.
    #[test]
    fn one_round_reports_exactly_the_differences(restock in some_books(), sales in some_books(), production in some_books()) {
        let books = Books { restock, sales, production };
        let mut watch = Watch::default();
        watch.observe(books.clone());
        let reported: Vec<String> = watch.differences().into_iter().map(|difference| difference.sku).collect();
        let of = |books: &Received, sku: &str| books.get(sku).copied().unwrap_or_default();
        let expected: Vec<&str> = ["A", "B"]
            .into_iter()
            .filter(|sku| {
                let booked = of(&books.restock, sku);
                of(&books.sales, sku) != booked || of(&books.production, sku) != booked
            })
            .collect();
        prop_assert_eq!(reported, expected);
    }

    /// In whatever order receipts arrive and messages are delayed: when all have arrived nothing is reported,
    /// and a deleted row is reported with its units.
    #[test]
    fn only_real_losses_are_reported(
        receipts in vec((1_i64..5, 0_usize..4, 0_usize..4), 1..20),
        lost in prop::option::of(1_i64..100),
    ) {
        let mut watch = Watch::default();
        for round in 0..receipts.len() + 5 {
            let heard = |late: fn(&(i64, usize, usize)) -> usize| {
                receipts.iter().enumerate().filter(|(at, receipt)| at + late(receipt) <= round)
                    .map(|(_, receipt)| receipt.0).sum::<i64>()
            };
            let missing = lost.unwrap_or_default();
            // More than ever comes in, so the figures cannot become equal by accident on the way.
            let taken = missing * 100;
            watch.observe(books(heard(|_| 0), heard(|receipt| receipt.1) - taken, heard(|receipt| receipt.2)));
        }
        let reported: Vec<(i64, bool)> = watch.differences().iter()
            .map(|difference| (difference.figures.excess(Hearer::Sales), difference.figures.excess(Hearer::Production) == 0))
            .collect();
        prop_assert_eq!(reported, lost.map(|units| (-100 * units, true)).into_iter().collect::<Vec<_>>());
    }
}
