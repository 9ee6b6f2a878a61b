//! Replenishment policy: when to order more, and how much.

use jaego_contracts::ids::{Quantity, UNITS_MAX};

use super::order::OnShortage;
use super::stock::Figures;

/// Degree of automation of replenishment orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The service orders by itself.
    Auto,
    /// The service proposes, an operator approves.
    Manual,
    /// Nothing is ordered.
    Off,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Auto, Mode::Manual, Mode::Off];

    /// Name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Auto => "auto",
            Mode::Manual => "manual",
            Mode::Off => "off",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// Treatment of an order that stock cannot fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shortage {
    /// The order is refused.
    Reject,
    /// The order waits, unless it opts out.
    Backorder,
    /// The order waits if it opts in, and is refused otherwise.
    Choice,
}

impl Shortage {
    pub const ALL: [Shortage; 3] = [Shortage::Reject, Shortage::Backorder, Shortage::Choice];

    /// Name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Shortage::Reject => "reject",
            Shortage::Backorder => "backorder",
            Shortage::Choice => "choice",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shortage| shortage.name() == name)
    }

    /// Returns true if an order may wait for stock; `wish` is the choice made in the order.
    pub fn may_wait(self, wish: Option<OnShortage>) -> bool {
        match self {
            Shortage::Reject => false,
            Shortage::Backorder => wish != Some(OnShortage::Reject),
            Shortage::Choice => wish == Some(OnShortage::Backorder),
        }
    }
}

/// A product's replenishment policy, in units. Always valid: the constructor checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    reorder_point: i64,
    order_up_to: i64,
    lot_size: i64,
    mode: Mode,
    shortage: Shortage,
    max_backordered: Option<i64>,
}

/// A policy field that is out of bounds, and its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPolicy {
    pub field: &'static str,
    /// The bound, as a sentence fragment: "must be ...".
    pub must: &'static str,
}

impl Policy {
    /// Checks every bound.
    pub fn new(
        reorder_point: i64,
        order_up_to: i64,
        lot_size: i64,
        mode: Mode,
        shortage: Shortage,
        max_backordered: Option<i64>,
    ) -> Result<Self, InvalidPolicy> {
        let refuse = |field, must| Err(InvalidPolicy { field, must });
        if reorder_point < 0 {
            return refuse("reorder_point", "must be 0 or more");
        }
        if !(1..=UNITS_MAX).contains(&order_up_to) {
            return refuse("order_up_to", "must be 1 to 1000000");
        }
        if order_up_to <= reorder_point {
            return refuse("order_up_to", "must be above reorder_point");
        }
        if !(1..=UNITS_MAX).contains(&lot_size) {
            return refuse("lot_size", "must be 1 to 1000000");
        }
        if max_backordered.is_some_and(|units| !(0..=UNITS_MAX).contains(&units)) {
            return refuse("max_backordered", "must be 0 to 1000000, or absent");
        }
        Ok(Self { reorder_point, order_up_to, lot_size, mode, shortage, max_backordered })
    }

    /// Policy of a product that is no longer sold: only units that orders wait for are still ordered.
    #[must_use]
    pub fn withdrawn(&self) -> Self {
        Self { reorder_point: -1, order_up_to: 0, ..self.clone() }
    }

    /// A replenishment is due when the position is at or below this level.
    pub fn reorder_point(&self) -> i64 {
        self.reorder_point
    }
    /// Position that a replenishment restores.
    pub fn order_up_to(&self) -> i64 {
        self.order_up_to
    }
    /// Replenishments are multiples of this quantity.
    pub fn lot_size(&self) -> i64 {
        self.lot_size
    }
    pub fn mode(&self) -> Mode {
        self.mode
    }
    /// Treatment of an order that stock cannot fill, unless the order says otherwise.
    pub fn shortage(&self) -> Shortage {
        self.shortage
    }
    /// Maximum units that may wait at once. None applies the limit for all products.
    pub fn max_backordered(&self) -> Option<i64> {
        self.max_backordered
    }
}

/// Why a replenishment is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The position is at or below the reorder point.
    ReorderPoint,
    /// An order could not be filled, and nothing was on order.
    Shortage,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Reason::ReorderPoint => "reorder_point",
            Reason::Shortage => "shortage",
        }
    }
}

/// A due replenishment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub quantity: Quantity,
    pub reason: Reason,
    /// The figures and the rule, as a sentence.
    pub explanation: String,
    /// Inventory position that the decision is based on.
    pub position: i64,
    /// Units on order at that time.
    pub on_order: i64,
    /// True if the quantity reaches the order-up-to level; otherwise a limit reduced it.
    pub is_whole: bool,
}

/// Reason for a replenishment at these figures, if one is due. `short` if a line could not be sold in full.
pub fn reason(figures: &Figures, policy: &Policy, short: bool) -> Option<Reason> {
    let position = figures.position();
    if position <= policy.reorder_point {
        Some(Reason::ReorderPoint)
    } else if short && figures.on_order == 0 && position < policy.order_up_to {
        Some(Reason::Shortage)
    } else {
        None
    }
}

/// The replenishment due at these figures, if any. `short` if a line could not be sold in full. Mode and pauses are
/// checked by the caller.
pub fn need(figures: &Figures, policy: &Policy, short: bool) -> Option<Need> {
    need_within(figures, policy, short, UNITS_MAX)
}

/// Like [`need`], limited to `most` units in whole lots. None if not even one lot fits.
pub fn need_within(figures: &Figures, policy: &Policy, short: bool, most: i64) -> Option<Need> {
    let reason = reason(figures, policy, short)?;
    let position = figures.position();
    let missing = policy.order_up_to - position;
    // Whole lots, as many as one replenishment may have. The rest is ordered by the next decision.
    let lots = (missing + policy.lot_size - 1) / policy.lot_size;
    let lots = lots.min(most.clamp(0, UNITS_MAX) / policy.lot_size);
    let quantity = Quantity::try_from(lots * policy.lot_size).ok()?;
    let is_whole = position + quantity.get() >= policy.order_up_to;
    let why = match reason {
        Reason::ReorderPoint => format!("at or below {}", policy.reorder_point),
        Reason::Shortage => "an order could not be filled and nothing was on order".to_owned(),
    };
    let aim = if is_whole {
        format!("to reach at least {}", policy.order_up_to)
    } else if most < UNITS_MAX {
        format!("as many as may be ordered without approval, toward {}", policy.order_up_to)
    } else {
        format!("as many as one replenishment may have, toward {}", policy.order_up_to)
    };
    let explanation = format!(
        "position {position} = {} on hand + {} on order - {} backordered, {why}: \
         order {quantity} ({lots} {} of {}) {aim}",
        figures.on_hand,
        figures.on_order,
        figures.backordered,
        if lots == 1 { "lot" } else { "lots" },
        policy.lot_size,
    );
    Some(Need { quantity, reason, explanation, position, on_order: figures.on_order, is_whole })
}

/// Pause of automatic orders after a refusal, seconds: `base_s`, doubled for each of the consecutive refusals
/// `before` it, at most `max_s`.
pub fn refusal_pause_s(before: u32, base_s: i64, max_s: i64) -> i64 {
    base_s.saturating_mul(1 << before.min(30)).min(max_s)
}

/// A policy's answer at some figures, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stance {
    /// `order`, `propose` or `none`.
    pub answer: &'static str,
    /// Units that would be ordered.
    pub quantity: i64,
    /// The reason, as a sentence.
    pub explanation: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(reorder_point: i64, order_up_to: i64, lot_size: i64) -> Policy {
        Policy::new(reorder_point, order_up_to, lot_size, Mode::Auto, Shortage::Reject, None).expect("valid")
    }

    #[test]
    fn the_explanation_reads_as_documented() {
        let figures = Figures { on_hand: 2, ..Figures::default() };
        let need = need(&figures, &policy(5, 12, 10), false).expect("needed");
        assert_eq!(
            need.explanation,
            "position 2 = 2 on hand + 0 on order - 0 backordered, at or below 5: \
             order 10 (1 lot of 10) to reach at least 12"
        );
    }

    #[test]
    fn lots_are_whole_and_units_on_order_count() {
        let figures = |on_hand, on_order, backordered| Figures { on_hand, backordered, on_order };
        let ask = |figures: Figures, short| need(&figures, &policy(5, 20, 8), short).map(|need| need.quantity.get());
        assert_eq!(ask(figures(5, 0, 0), false), Some(16));
        assert_eq!(ask(figures(6, 0, 0), false), None);
        assert_eq!(ask(figures(0, 16, 0), false), None);
        assert_eq!(ask(figures(0, 16, 12), false), Some(16));
        assert_eq!(ask(figures(0, 0, 30), false), Some(56));
        assert_eq!(ask(figures(6, 0, 0), true), Some(16), "a shortage above the reorder point");
        assert_eq!(ask(figures(6, 8, 0), true), None, "already on order");
        assert_eq!(ask(figures(20, 0, 0), true), None, "at the level");
    }

    #[test]
    fn one_replenishment_stays_within_its_bound() {
        let figures = Figures { backordered: 3_000_000, ..Figures::default() };
        let need = need(&figures, &policy(0, 1_000_000, 300_000), false).expect("needed");
        assert_eq!(need.quantity.get(), 900_000);
        assert!(need.explanation.ends_with("as many as one replenishment may have, toward 1000000"), "{need:?}");
    }

    #[test]
    fn pauses_double_up_to_their_bound() {
        let pauses: Vec<i64> = (0..9).map(|before| refusal_pause_s(before, 900, 86_400)).collect();
        assert_eq!(pauses, [900, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600, 86_400, 86_400]);
        assert_eq!(refusal_pause_s(u32::MAX, i64::MAX, 86_400), 86_400);
        assert_eq!(refusal_pause_s(40, 1, i64::MAX), 1 << 30);
    }

    #[test]
    fn bad_policies_name_their_field() {
        let field = |policy: Result<Policy, InvalidPolicy>| policy.expect_err("invalid").field;
        let make = |point, level, lot, max| Policy::new(point, level, lot, Mode::Auto, Shortage::Reject, max);
        assert_eq!(field(make(-1, 10, 1, None)), "reorder_point");
        assert_eq!(field(make(10, 10, 1, None)), "order_up_to");
        assert_eq!(field(make(0, 1_000_001, 1, None)), "order_up_to");
        assert_eq!(field(make(0, 10, 0, None)), "lot_size");
        assert_eq!(field(make(0, 10, 1_000_001, None)), "lot_size");
        assert_eq!(field(make(0, 10, 1, Some(-1))), "max_backordered");
    }
}
