//! A change of products under row locks. It collects what a command decides and writes it at once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use jaego_contracts::OutgoingEvent;
use jaego_contracts::ids::{MovementId, RequestId, Sku};
use jaego_contracts::order;
use jaego_contracts::trace::TraceContext;

use super::write;
use crate::domain::goods::{self, Arrival, Fill, Source, WaitingLine};
use crate::domain::product_state::{Limits, NewReplenishment, ProductState, ProductStates};
use crate::domain::stock::{Cause, Movement};
use crate::store::incoming::{self, NewIncoming};
use crate::store::product_states::{self, Loaded};
use crate::store::stock::{Changed, Hand};
use crate::store::{StoreError, orders, replenishments, stock};

/// Products whose rows are locked, and the changes to be written.
pub(super) struct StockChange {
    states: ProductStates,
    /// The row versions at the time of locking.
    versions: BTreeMap<Sku, i64>,
    /// Time of the change: after the locks were acquired, and not before the last change of any of these products,
    /// even if that came from a replica with a fast clock.
    pub(super) at: DateTime<Utc>,
    touched: BTreeMap<Sku, Touched>,
    waiting: BTreeMap<Sku, Vec<WaitingLine>>,
    movements: Vec<Movement<String>>,
    fills: BTreeMap<i64, Fill>,
    left: Vec<Left>,
}

struct Touched {
    /// The trace of the last change.
    trace: TraceContext,
    /// True if the position may have changed, so that the policy must be evaluated.
    asks: bool,
}

/// Units to be handed out later.
struct Left {
    sku: Sku,
    cause: Cause,
    units: i64,
    reference: String,
    trace: TraceContext,
}

/// The result of [`StockChange::save`].
pub(super) struct Saved {
    /// Events for the outbox.
    pub(super) events: Vec<OutgoingEvent>,
    /// Ids of the ledger entries, in order.
    pub(super) movements: Vec<MovementId>,
    /// True if units are left for waiting orders; the caller must then notify [`super::hand_out`].
    pub(super) has_left: bool,
}

impl StockChange {
    /// Locks these products in key order. Unknown SKUs are omitted.
    pub(super) async fn lock(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<Self, StoreError> {
        Ok(Self::of(product_states::lock(connection, skus).await?))
    }

    /// Like [`Self::lock`], but also omits products that another transaction has locked.
    pub(super) async fn lock_free(connection: &AsyncPgConnection, skus: &BTreeSet<Sku>) -> Result<Self, StoreError> {
        Ok(Self::of(product_states::lock_free(connection, skus).await?))
    }

    fn of(Loaded { states, versions }: Loaded) -> Self {
        let at = write::not_before(write::now(), &states);
        Self {
            states,
            versions,
            at,
            touched: BTreeMap::new(),
            waiting: BTreeMap::new(),
            movements: Vec::new(),
            fills: BTreeMap::new(),
            left: Vec::new(),
        }
    }

    /// Locks one product. None if it does not exist.
    pub(super) async fn lock_one(connection: &AsyncPgConnection, sku: &Sku) -> Result<Option<Self>, StoreError> {
        let change = Self::lock(connection, &BTreeSet::from([sku.clone()])).await?;
        Ok(change.states.contains_key(sku).then_some(change))
    }

    pub(super) fn state(&self, sku: &Sku) -> Option<&ProductState> {
        self.states.get(sku)
    }

    /// The product, to be changed. `asks` if its position may change, so that the policy must be evaluated.
    pub(super) fn touch(&mut self, sku: &Sku, trace: TraceContext, asks: bool) -> Option<&mut ProductState> {
        let state = self.states.get_mut(sku)?;
        let touched = self.touched.entry(sku.clone()).or_insert(Touched { trace, asks });
        (touched.trace, touched.asks) = (trace, touched.asks || asks);
        Some(state)
    }

    /// Loads the waiting lines of these products. Must be called before [`Self::take_in`].
    pub(super) async fn find_waiting(&mut self, connection: &AsyncPgConnection) -> Result<(), StoreError> {
        for (sku, _) in self.states.iter().filter(|(_, state)| state.figures.backordered > 0) {
            self.waiting.insert(sku.clone(), orders::waiting_lines(connection, sku).await?);
        }
        Ok(())
    }

    /// Adds incoming units and fills waiting orders. `reference` is stored in the ledger for them.
    pub(super) fn take_in(&mut self, sku: &Sku, arrival: Arrival, reference: &str, trace: TraceContext) {
        let mut none = Vec::new();
        let Some(state) = self.touch(sku, trace, true) else { return };
        let mut figures = state.figures;
        let waiting = self.waiting.get_mut(sku).unwrap_or(&mut none);
        let taken = goods::take_in(sku, &mut figures, arrival, waiting);
        if let Some(state) = self.states.get_mut(sku) {
            state.figures = figures;
        }
        self.movements.extend(taken.movements.into_iter().map(|entry| Movement {
            reference: match entry.reference {
                Source::Incoming => reference.to_owned(),
                Source::Order(id) => id.to_string(),
            },
            sku: entry.sku,
            cause: entry.cause,
            delta: entry.delta,
            before: entry.before,
        }));
        // Fills come in the order of the lines, so one pass over the iterator finds them all.
        let mut lines = waiting.iter_mut();
        for fill in taken.fills {
            if let Some(line) = lines.find(|line| line.line_id == fill.line_id) {
                line.waiting -= fill.units;
            }
            self.fills.entry(fill.line_id).and_modify(|before| before.units += fill.units).or_insert(fill);
        }
        waiting.retain(|line| line.waiting > 0);
        if taken.left > 0 {
            let (reference, cause) = (reference.to_owned(), arrival.cause);
            self.left.push(Left { sku: sku.clone(), cause, units: taken.left, reference, trace });
        }
    }

    /// Takes the units left over by [`Self::take_in`]. The caller keeps them in the row they came from.
    pub(super) fn take_left(&mut self) -> i64 {
        self.left.drain(..).map(|left| left.units).sum()
    }

    /// Evaluates the policies and writes all changes that were collected.
    pub(super) async fn save(
        mut self,
        connection: &mut AsyncPgConnection,
        limits: Limits,
        actor: &str,
        note: Option<&str>,
    ) -> Result<Saved, StoreError> {
        let (at, moment) = (self.at, product_states::moment(self.at));
        let mut decided: Vec<(NewReplenishment, TraceContext)> = Vec::new();
        for (sku, touched) in &self.touched {
            let Some(state) = self.states.get_mut(sku) else { continue };
            state.changed_at = moment;
            if touched.asks {
                let new = state.replenish(sku, false, limits, moment, &mut RequestId::generate);
                decided.extend(new.into_iter().map(|new| (new, touched.trace)));
            }
        }
        let decided: Vec<_> = decided.iter().map(|(new, trace)| (new, *trace)).collect();
        replenishments::insert(connection, &write::replenishment_rows(&decided, at)).await?;
        let hand = Hand { actor, at, note };
        let movements = stock::insert_movements(connection, &self.movements, hand, String::clone).await?;
        let left = self.left.iter().map(|left| NewIncoming {
            sku: left.sku.as_str(),
            cause: left.cause.name(),
            units: left.units,
            reference: &left.reference,
            actor,
            note,
            traceparent: left.trace.to_string(),
            arrived_at: at,
        });
        incoming::keep(connection, &left.collect::<Vec<_>>()).await?;
        let changed = self.touched.keys().filter_map(|sku| {
            let (state, version) = (self.states.get(sku)?, self.versions.get(sku)? + 1);
            Some(Changed { sku, state, version })
        });
        let changed: Vec<Changed<'_>> = changed.collect();
        stock::write(connection, &self.versions, &changed).await?;

        let mut events = write::replenishment_events(&decided, at);
        for changed in &changed {
            let trace = self.touched.get(changed.sku).map_or_else(TraceContext::new_root, |touched| touched.trace);
            events.push(write::stock_changed(*changed, at, trace));
        }
        // An order is announced in the trace of the last change.
        let trace = self.touched.values().next_back().map_or_else(TraceContext::new_root, |touched| touched.trace);
        let fills: Vec<Fill> = self.fills.values().copied().collect();
        let fulfilled = orders::fill(connection, &fills).await?;
        let fulfilled = fulfilled.iter().map(write::summary).collect();
        events.extend(write::orders_changed(&order::FULFILLED, fulfilled, trace));
        Ok(Saved { events, movements, has_left: !self.left.is_empty() })
    }
}
