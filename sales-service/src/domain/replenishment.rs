//! A replenishment's life: what its production request, its goods and operators make of it, and what
//! that does to its product's figures.

use shared::ids::RequestId;

use super::policy;
use super::shelf::Shelf;

/// How far a replenishment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It waits for an operator's yes.
    Proposed,
    /// Goods are to come.
    Open,
    /// Its production request is a dead letter. Its open quantity still counts: a redrive must
    /// never double an order.
    Stalled,
    /// All goods came.
    Complete,
    /// Ended by an operator before all goods came.
    ClosedShort,
    /// No factory makes it.
    Refused,
    /// Its production was called off.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 7] = [
        Status::Proposed,
        Status::Open,
        Status::Stalled,
        Status::Complete,
        Status::ClosedShort,
        Status::Refused,
        Status::Cancelled,
    ];

    /// Its name, in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Status::Proposed => "proposed",
            Status::Open => "open",
            Status::Stalled => "stalled",
            Status::Complete => "complete",
            Status::ClosedShort => "closed_short",
            Status::Refused => "refused",
            Status::Cancelled => "cancelled",
        }
    }

    /// The one of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether its open quantity counts as on order.
    pub fn is_on_order(self) -> bool {
        matches!(self, Status::Open | Status::Stalled)
    }
}

/// A replenishment. Quantities are units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replenishment {
    /// Its id, and the production request's.
    pub id: RequestId,
    /// Asked for.
    pub quantity: i64,
    /// Came so far; more than was asked for when an operator accepted it.
    pub received: i64,
    /// How far it is.
    pub status: Status,
    /// The last change of its production request that was applied.
    pub revision: i64,
}

/// What became of its production request, short of goods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A factory makes it; perhaps late.
    Accepted,
    /// No factory could be reached: an operator must look at it.
    DeadLettered,
    /// No factory makes it.
    Refused,
    /// Called off.
    Cancelled,
}

/// What an outcome or goods mean for asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequel {
    /// Nothing.
    Nothing,
    /// The position has changed: the policy must be asked.
    Ask,
    /// The factory works: earlier refusals count no more.
    ForgetRefusals,
    /// Nothing is ordered by itself for a while, longer with each refusal in a row.
    Pause,
}

/// Why an operator's wish is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It does not go with how far the replenishment is.
    NotInStatus {
        /// How far it is.
        status: Status,
        /// What can be done, and when.
        rule: &'static str,
    },
    /// What was proposed has been answered meanwhile: it would be ordered twice.
    NotNeeded,
}

impl Replenishment {
    /// Units still to come.
    pub fn open_quantity(&self) -> i64 {
        (self.quantity - self.received).max(0)
    }

    /// Applies an outcome of its production request. None when this or a later one was applied
    /// before: outcomes may come twice and in any order.
    pub fn apply_outcome(&mut self, shelf: &mut Shelf, revision: i64, outcome: Outcome) -> Option<Sequel> {
        if revision <= self.revision {
            return None;
        }
        self.revision = revision;
        if !self.status.is_on_order() {
            // It has ended, by goods that were quicker, say; that a factory works is news all the same.
            return Some(if outcome == Outcome::Accepted { Sequel::ForgetRefusals } else { Sequel::Nothing });
        }
        Some(match outcome {
            Outcome::Accepted => {
                self.status = Status::Open;
                Sequel::ForgetRefusals
            }
            Outcome::DeadLettered => {
                self.status = Status::Stalled;
                Sequel::Nothing
            }
            Outcome::Refused => {
                self.end(shelf, Status::Refused);
                shelf.is_paused = true;
                Sequel::Pause
            }
            Outcome::Cancelled => {
                self.end(shelf, Status::Cancelled);
                Sequel::Ask
            }
        })
    }

    /// One that an operator orders now, whatever the policy says.
    pub fn by_hand(shelf: &mut Shelf, id: RequestId, quantity: i64) -> Self {
        shelf.figures.on_order += quantity;
        shelf.open_replenishments.push(id);
        Self { id, quantity, received: 0, status: Status::Open, revision: 0 }
    }

    /// Books `units` that came for it, whatever became of it before. Goods show that a factory works.
    pub fn receive(&mut self, shelf: &mut Shelf, units: i64) {
        if self.status.is_on_order() {
            shelf.figures.release_on_order(units.min(self.open_quantity()));
        }
        self.received += units;
        if self.status == Status::Stalled {
            self.status = Status::Open;
        }
        if self.status.is_on_order() && self.open_quantity() == 0 {
            self.end(shelf, Status::Complete);
        }
    }

    /// An operator says yes to a proposal: it is on order from now on, unless what it was to answer
    /// has been answered meanwhile.
    pub fn approve(&mut self, shelf: &mut Shelf) -> Result<(), Refusal> {
        if self.status != Status::Proposed {
            let rule = "Only a proposed replenishment can be approved";
            return Err(Refusal::NotInStatus { status: self.status, rule });
        }
        if policy::need(&shelf.figures, &shelf.policy, true).is_none() {
            return Err(Refusal::NotNeeded);
        }
        self.status = Status::Open;
        shelf.has_proposal = false;
        shelf.figures.on_order += self.open_quantity();
        Ok(())
    }

    /// An operator ends it before all goods came. Answers whether production had been asked.
    ///
    /// The policy is not asked here: an operator who closes something may want to snooze the
    /// product, too. The sweep asks it soon enough.
    pub fn close(&mut self, shelf: &mut Shelf) -> Result<bool, Refusal> {
        let was_on_order = self.status.is_on_order();
        if self.status == Status::Proposed {
            shelf.has_proposal = false;
        } else if !was_on_order {
            let rule = "Only a replenishment under way can be closed";
            return Err(Refusal::NotInStatus { status: self.status, rule });
        }
        self.end(shelf, Status::ClosedShort);
        Ok(was_on_order)
    }

    /// Gives what is still open back to the position.
    fn end(&mut self, shelf: &mut Shelf, status: Status) {
        if self.status.is_on_order() {
            shelf.figures.release_on_order(self.open_quantity());
        }
        self.status = status;
        shelf.open_replenishments.retain(|id| *id != self.id);
    }
}
