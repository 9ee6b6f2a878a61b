//! A replenishment's life: what its production request, its goods and operators make of it, and what
//! that does to its product's figures.

use jaego_contracts::ids::RequestId;

use super::policy;
use super::shelf::{Moment, OpenRequest, Shelf};

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
    /// Whether the policy asked for it, not a person.
    pub is_automatic: bool,
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

/// Pauses after refusals, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalPause {
    /// After the first refusal; doubled with each in a row.
    pub base_s: i64,
    /// The longest.
    pub max_s: i64,
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

    /// Applies an outcome of its production request; false when this or a later one was applied before: outcomes
    /// may come twice and in any order.
    ///
    /// What is given back is asked for again by the next sweep, as after [`Self::close`].
    pub fn apply_outcome(
        &mut self,
        shelf: &mut Shelf,
        revision: i64,
        outcome: Outcome,
        now: Moment,
        pause: RefusalPause,
    ) -> bool {
        if revision <= self.revision {
            return false;
        }
        self.revision = revision;
        // That a factory works is news even of a request that has ended, by goods that were quicker, say.
        if outcome == Outcome::Accepted {
            shelf.pauses.forget_refusals();
        }
        if self.status.is_on_order() {
            match outcome {
                Outcome::Accepted => self.status = Status::Open,
                Outcome::DeadLettered => self.status = Status::Stalled,
                Outcome::Cancelled => self.end(shelf, Status::Cancelled),
                Outcome::Refused => {
                    self.end(shelf, Status::Refused);
                    shelf.pauses.refuse(now, pause.base_s, pause.max_s);
                }
            }
        }
        true
    }

    /// One that an operator orders now, whatever the policy says.
    pub fn by_hand(shelf: &mut Shelf, id: RequestId, quantity: i64) -> Self {
        shelf.figures.on_order += quantity;
        Self { id, quantity, received: 0, status: Status::Open, revision: 0, is_automatic: false }
    }

    /// Books `units` that came for it, whatever became of it before. Goods show that a factory works.
    pub fn receive(&mut self, shelf: &mut Shelf, units: i64) {
        shelf.pauses.forget_refusals();
        if self.status.is_on_order() {
            let open = units.min(self.open_quantity());
            shelf.figures.release_on_order(open);
            if let Some(request) = self.open_in(shelf) {
                request.units -= open;
            }
        }
        self.received += units;
        if self.status == Status::Stalled {
            self.status = Status::Open;
        }
        if self.status.is_on_order() && self.open_quantity() == 0 {
            self.end(shelf, Status::Complete);
        }
    }

    /// An operator says yes to a proposal: it is on order from now on. Only what is still missing is: stock may have
    /// come in since it was proposed. Refused when nothing is.
    pub fn approve(&mut self, shelf: &mut Shelf) -> Result<(), Refusal> {
        if self.status != Status::Proposed {
            let rule = "Only a proposed replenishment can be approved";
            return Err(Refusal::NotInStatus { status: self.status, rule });
        }
        let Some(need) = policy::need(&shelf.figures, &shelf.policy_now(), true) else {
            return Err(Refusal::NotNeeded);
        };
        self.quantity = self.quantity.min(need.quantity.get());
        self.status = Status::Open;
        shelf.has_proposal = false;
        shelf.automatic_open += 1;
        shelf.figures.on_order += self.open_quantity();
        Ok(())
    }

    /// An operator ends it before all goods came. Answers whether production had been asked.
    ///
    /// The policy is not asked here: an operator who closes something may want to snooze the product, too. The
    /// sweep asks it soon enough.
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
            shelf.automatic_open = shelf.automatic_open.saturating_sub(usize::from(self.is_automatic));
        }
        shelf.open.retain(|request| request.id != self.id);
        self.status = status;
    }

    fn open_in<'a>(&self, shelf: &'a mut Shelf) -> Option<&'a mut OpenRequest> {
        shelf.open.iter_mut().find(|request| request.id == self.id)
    }
}
