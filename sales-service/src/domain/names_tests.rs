//! Names that are stored and sent. Changing one breaks rows, clients and contracts.

use super::order::OrderStatus;
use super::policy::{Mode, Reason, Shortage};
use super::replenishment::Status;
use super::stock::Cause;

macro_rules! names {
    ($kind:ident) => {
        $kind::ALL.map(|value| {
            assert_eq!($kind::of_name(value.name()), Some(value));
            value.name()
        })
    };
}

#[test]
fn names_are_the_contracts_and_read_back() {
    assert_eq!(names!(OrderStatus), ["confirmed", "backordered", "rejected", "cancelled"]);
    assert_eq!(names!(Mode), ["auto", "manual", "off"]);
    assert_eq!(names!(Shortage), ["reject", "backorder", "choice"]);
    assert_eq!(names!(Status), ["proposed", "open", "stalled", "complete", "closed_short", "refused", "cancelled"]);
    let causes = ["sale", "cancellation", "receipt", "backorder_fill", "cycle_count", "damage", "return", "correction"];
    assert_eq!(Cause::ALL.map(Cause::name), causes);
    assert_eq!([Reason::ReorderPoint, Reason::Shortage].map(Reason::name), ["reorder_point", "shortage"]);
    assert_eq!(Status::of_name("Open"), None);
}
