//! Life cycle of a replenishment: how its production request, its goods and operators change it, and how that changes
//! its product's figures.

use jaego_contracts::ids::RequestId;

use super::policy;
use super::product_state::{Moment, OpenRequest, ProductState};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waiting for an operator's approval.
    Proposed,
    /// Goods are still to come.
    Open,
    /// The production request is a dead letter. The open quantity still counts, because a redrive must never double
    /// an order.
    Stalled,
    /// All goods have arrived.
    Complete,
    /// Closed by an operator before all goods arrived.
    ClosedShort,
    /// Production was refused.
    Refused,
    /// Its production was cancelled.
    Cancelled,
}

impl Status {
    pub const ALL: [Status; 7] = [
        Status::Proposed,
        Status::Open,
        Status::Stalled,
        Status::Complete,
        Status::ClosedShort,
        Status::Refused,
        Status::Cancelled,
    ];

    /// Name in the database and in JSON.
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

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Returns true if the open quantity counts as on order.
    pub fn is_on_order(self) -> bool {
        matches!(self, Status::Open | Status::Stalled)
    }
}

/// A replenishment. Quantities are units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replenishment {
    /// Also the id of the production request.
    pub id: RequestId,
    /// Units ordered.
    pub quantity: i64,
    /// Units received so far. May exceed `quantity` if an operator accepted more.
    pub received: i64,
    pub status: Status,
    /// Revision of the last production outcome that was applied.
    pub revision: i64,
    /// True if the policy ordered it, false if a person did.
    pub is_automatic: bool,
}

/// Outcome of the production request, other than goods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    /// A factory accepted it, possibly late.
    Accepted,
    /// No factory could be reached; an operator must decide.
    DeadLettered,
    /// Production was refused.
    Refused,
    /// Production was cancelled.
    Cancelled,
}

/// Pauses after refusals, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalPause {
    /// Pause after the first refusal; doubled with each consecutive one.
    pub base_s: i64,
    pub max_s: i64,
}

/// Why an operator's request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The status does not allow it.
    NotInStatus {
        status: Status,
        /// The rule that was violated, as a sentence.
        rule: &'static str,
    },
    /// The shortage has been covered since the proposal; approving it would order twice.
    NotNeeded,
}

impl Replenishment {
    pub fn open_quantity(&self) -> i64 {
        (self.quantity - self.received).max(0)
    }

    /// Applies an outcome of the production request. Returns false if this or a later revision was applied before:
    /// outcomes may arrive twice and in any order.
    ///
    /// The quantity given back is ordered again by the next sweep, as after [`Self::close`].
    pub fn apply_outcome(
        &mut self,
        state: &mut ProductState,
        revision: i64,
        outcome: OutcomeKind,
        now: Moment,
        pause: RefusalPause,
    ) -> bool {
        if revision <= self.revision {
            return false;
        }
        self.revision = revision;
        // An acceptance shows that the factory works, even if the request has already ended (goods may arrive first).
        if outcome == OutcomeKind::Accepted {
            state.pauses.forget_refusals();
        }
        if self.status.is_on_order() {
            match outcome {
                OutcomeKind::Accepted => self.status = Status::Open,
                OutcomeKind::DeadLettered => self.status = Status::Stalled,
                OutcomeKind::Cancelled => self.end(state, Status::Cancelled),
                OutcomeKind::Refused => {
                    self.end(state, Status::Refused);
                    state.pauses.refuse(now, pause.base_s, pause.max_s);
                }
            }
        }
        true
    }

    /// A replenishment ordered by an operator, regardless of the policy.
    pub fn by_hand(state: &mut ProductState, id: RequestId, quantity: i64) -> Self {
        state.figures.on_order += quantity;
        Self { id, quantity, received: 0, status: Status::Open, revision: 0, is_automatic: false }
    }

    /// Books `units` that arrived for this replenishment, whatever its status. Goods show that the factory works.
    pub fn receive(&mut self, state: &mut ProductState, units: i64) {
        state.pauses.forget_refusals();
        if self.status.is_on_order() {
            let open = units.min(self.open_quantity());
            state.figures.release_on_order(open);
            if let Some(request) = self.open_in(state) {
                request.units -= open;
            }
        }
        self.received += units;
        if self.status == Status::Stalled {
            self.status = Status::Open;
        }
        if self.status.is_on_order() && self.open_quantity() == 0 {
            self.end(state, Status::Complete);
        }
    }

    /// Puts a proposal on order after an operator's approval. Orders only what is still missing, because stock may
    /// have come in since the proposal; refused if nothing is missing.
    pub fn approve(&mut self, state: &mut ProductState) -> Result<(), Refusal> {
        if self.status != Status::Proposed {
            let rule = "Only a proposed replenishment can be approved";
            return Err(Refusal::NotInStatus { status: self.status, rule });
        }
        let Some(need) = policy::need(&state.figures, &state.policy_now(), true) else {
            return Err(Refusal::NotNeeded);
        };
        self.quantity = self.quantity.min(need.quantity.get());
        self.status = Status::Open;
        state.has_proposal = false;
        state.automatic_open += 1;
        state.figures.on_order += self.open_quantity();
        Ok(())
    }

    /// Ends the replenishment before all goods arrived. Returns whether production had been asked.
    ///
    /// The policy is not evaluated here, because an operator who closes a replenishment may want to snooze the
    /// product as well. The next sweep evaluates it.
    pub fn close(&mut self, state: &mut ProductState) -> Result<bool, Refusal> {
        let was_on_order = self.status.is_on_order();
        if self.status == Status::Proposed {
            state.has_proposal = false;
        } else if !was_on_order {
            let rule = "Only a replenishment under way can be closed";
            return Err(Refusal::NotInStatus { status: self.status, rule });
        }
        self.end(state, Status::ClosedShort);
        Ok(was_on_order)
    }

    /// Takes the open quantity out of the position.
    fn end(&mut self, state: &mut ProductState, status: Status) {
        if self.status.is_on_order() {
            state.figures.release_on_order(self.open_quantity());
            state.automatic_open = state.automatic_open.saturating_sub(usize::from(self.is_automatic));
        }
        state.open.retain(|request| request.id != self.id);
        self.status = status;
    }

    fn open_in<'a>(&self, state: &'a mut ProductState) -> Option<&'a mut OpenRequest> {
        state.open.iter_mut().find(|request| request.id == self.id)
    }
}
