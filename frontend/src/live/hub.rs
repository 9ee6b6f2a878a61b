//! Distributes events to the browsers that follow them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use jaego_web::clients::Client;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::buffer::Buffer;
use super::event::{self, Event};
use super::hints::Hints;
use super::stream::EventStream;

/// Interval at which due hints are sent.
const TICK: Duration = Duration::from_millis(100);
/// Interval of keep-alives, so that no proxy takes an idle stream for dead.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING: Bytes = Bytes::from_static(b": ping\n\n");

#[derive(Clone)]
pub struct Hub(Arc<Inner>);

/// Why there is no place for a follower.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("too many followers, or the process is stopping")]
    Everybody,
    #[error("too many followers of one client")]
    Client,
}

struct Inner {
    clients_max: usize,
    per_client_max: usize,
    state: Mutex<State>,
    clients: Gauge<u64>,
    events: Counter<u64>,
    overflows: Counter<u64>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    shoppers: HashMap<u64, Shopper>,
    /// Number of shoppers by their client.
    by_client: HashMap<Client, usize>,
    consoles: HashMap<u64, Arc<Buffer>>,
    /// Ids of the shoppers who follow an order.
    followers: HashMap<Uuid, Vec<u64>>,
    hints: Hints,
    is_online: bool,
    is_closed: bool,
}

struct Shopper {
    buffer: Arc<Buffer>,
    orders: Vec<Uuid>,
    client: Option<Client>,
}

impl Hub {
    /// Allows at most `clients_max` shoppers, `per_client_max` of them at one client, and `clients_max` consoles; the
    /// broker counts as unavailable at first.
    pub fn new(clients_max: usize, per_client_max: usize) -> Self {
        let meter = opentelemetry::global::meter("jaego");
        let clients = meter.u64_gauge("jaego_live_clients").with_description("Browsers that follow live events");
        let events = meter.u64_counter("jaego_live_events").with_description("Events received from the broker");
        let overflows = meter
            .u64_counter("jaego_live_overflows")
            .with_description("Number of times that a browser was too slow and lost its buffered events");
        let hub = Self(Arc::new(Inner {
            clients_max,
            per_client_max,
            state: Mutex::default(),
            clients: clients.build(),
            events: events.build(),
            overflows: overflows.build(),
        }));
        hub.count(&hub.lock());
        hub
    }

    /// Adds a shopper, who receives hints about all stock, and events of these orders.
    pub fn follow_shop(&self, mut orders: Vec<Uuid>, client: Option<Client>) -> Result<EventStream, Full> {
        orders.sort_unstable();
        orders.dedup();
        self.follow(
            |state| {
                let own = client.and_then(|client| state.by_client.get(&client)).copied().unwrap_or_default();
                if own >= self.0.per_client_max { Err(Full::Client) } else { Ok(state.shoppers.len()) }
            },
            |state, id, buffer| {
                if let Some(client) = client {
                    *state.by_client.entry(client).or_default() += 1;
                }
                for order in &orders {
                    state.followers.entry(*order).or_default().push(id);
                }
                state.shoppers.insert(id, Shopper { buffer, orders, client });
            },
        )
    }

    /// Adds a signed-in user, who receives all events.
    pub fn follow_all(&self) -> Result<EventStream, Full> {
        self.follow(
            |state| Ok(state.consoles.len()),
            |state, id, buffer| {
                state.consoles.insert(id, buffer);
            },
        )
    }

    /// Shoppers and consoles are counted separately, so that operators find a place however many shoppers there are.
    fn follow(
        &self,
        count: impl FnOnce(&State) -> Result<usize, Full>,
        add: impl FnOnce(&mut State, u64, Arc<Buffer>),
    ) -> Result<EventStream, Full> {
        let buffer = Arc::new(Buffer::default());
        let mut state = self.lock();
        if state.is_closed || count(&state)? >= self.0.clients_max {
            return Err(Full::Everybody);
        }
        state.last_id += 1;
        let id = state.last_id;
        if !state.is_online {
            buffer.push(event::broker(false));
        }
        add(&mut state, id, buffer.clone());
        self.count(&state);
        Ok(EventStream::new(self.clone(), id, buffer))
    }

    /// Removes a browser that has disconnected.
    pub(super) fn forget(&self, id: u64) {
        let mut state = self.lock();
        if let Some(shopper) = state.shoppers.remove(&id) {
            if let Some(client) = shopper.client
                && let Entry::Occupied(mut own) = state.by_client.entry(client)
            {
                *own.get_mut() -= 1;
                if *own.get() == 0 {
                    own.remove();
                }
            }
            for order in shopper.orders {
                if let Some(followers) = state.followers.get_mut(&order) {
                    followers.retain(|follower| *follower != id);
                    if followers.is_empty() {
                        state.followers.remove(&order);
                    }
                }
            }
        }
        state.consoles.remove(&id);
        self.count(&state);
    }

    /// Distributes an event from the broker.
    pub(super) fn publish(&self, routing_key: &str, body: &[u8]) {
        let family = routing_key.split('.').next().unwrap_or_default().to_owned();
        self.0.events.add(1, &[KeyValue::new("family", family)]);
        if self.lock().count() == 0 {
            return;
        }
        // Parsing and formatting need no lock.
        let Some(event) = Event::parse(body) else {
            tracing::debug!(routing_key, "received a message that is not an event");
            return;
        };
        let for_console = event.for_console(routing_key);
        let now = Instant::now();
        let mut state = self.lock();
        for console in state.consoles.values() {
            self.push(console, for_console.clone());
        }
        if !state.followers.is_empty() {
            for order in event.orders() {
                let Some(followers) = state.followers.get(&order) else { continue };
                let event = event.for_shopper(order);
                for shopper in followers.iter().filter_map(|id| state.shoppers.get(id)) {
                    self.push(&shopper.buffer, event.clone());
                }
            }
        }
        if let Some((sku, delay)) = event.product(routing_key)
            && state.hints.changed(sku, now, delay)
        {
            self.send_to_shoppers(&state, &event::look_again(sku));
        }
    }

    /// Sets whether events arrive from the broker.
    pub(super) fn set_online(&self, is_online: bool) {
        let mut state = self.lock();
        if state.is_online != is_online {
            state.is_online = is_online;
            let event = event::broker(is_online);
            self.send_to_shoppers(&state, &event);
            for console in state.consoles.values() {
                self.push(console, event.clone());
            }
        }
    }

    /// Sends keep-alives until `closing`; then ends all streams and accepts no more.
    pub async fn run(self, closing: CancellationToken) {
        let (mut ticks, mut pings) = (interval(TICK), interval(PING_EVERY));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        pings.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = closing.cancelled() => break,
                _ = ticks.tick() => self.tick(),
                _ = pings.tick() => self.ping(),
            }
        }
        let mut state = self.lock();
        state.is_closed = true;
        state.buffers().for_each(Buffer::close);
    }

    fn tick(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        for sku in state.hints.due(now) {
            self.send_to_shoppers(&state, &event::look_again(&sku));
        }
    }

    fn ping(&self) {
        self.lock().buffers().for_each(|buffer| buffer.push_if_idle(&PING));
    }

    fn send_to_shoppers(&self, state: &State, event: &Bytes) {
        for shopper in state.shoppers.values() {
            self.push(&shopper.buffer, event.clone());
        }
    }

    fn push(&self, buffer: &Buffer, event: Bytes) {
        if buffer.push(event) {
            self.0.overflows.add(1, &[]);
        }
    }

    fn count(&self, state: &State) {
        for (face, count) in [("shop", state.shoppers.len()), ("console", state.consoles.len())] {
            self.0.clients.record(count as u64, &[KeyValue::new("face", face)]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self) -> usize {
        self.shoppers.len() + self.consoles.len()
    }

    fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        let shoppers = self.shoppers.values().map(|shopper| &*shopper.buffer);
        shoppers.chain(self.consoles.values().map(|console| &**console))
    }
}
