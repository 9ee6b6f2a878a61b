//! Clients, and what bounds each of them. Addresses behind which many people may be are not limited.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use governor::clock::{Clock as _, DefaultClock};
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use ipnet::IpNet;
use jaego_net::networks;
use jaego_net::proxies::Proxies;
use moka::sync::Cache;

use crate::problem::{Problem, ProblemKind};

/// Maximum clients that a bound remembers. Beyond it, those that call rarely are forgotten first, so that calls from
/// very many addresses do not make room for one that calls often.
const CLIENTS_MAX: u64 = 20_000;
/// Bits of an IPv6 address that belong to one customer.
const PREFIX_V6: u32 = 64;
const NANOS_PER_S: u64 = 1_000_000_000;

/// An IPv4 address, or an IPv6 network /64: all of its addresses belong to one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl Client {
    /// The client with this address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> (128 - PREFIX_V6) << (128 - PREFIX_V6);
                Ipv6Addr::from_bits(network).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// Recognizes the clients of a program's listeners.
#[derive(Debug, Clone)]
pub struct Clients {
    pub(crate) proxies: Proxies,
    pub(crate) unlimited: Vec<IpNet>,
}

impl Clients {
    /// The client that a request counts for; None if it is unknown, or not limited.
    pub fn limited(request: &HttpRequest) -> Option<Client> {
        let clients = request.app_data::<Data<Self>>()?;
        let address = client_address(request)?;
        (!networks::contain(&clients.unlimited, address)).then(|| Client::of(address))
    }
}

/// Returns the peer's address, or the one that trusted proxies name; the application provides [`Clients`] as
/// application data. None if a trusted proxy names no readable address.
pub fn client_address(request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    let Some(clients) = request.app_data::<Data<Clients>>() else { return Some(peer.to_canonical()) };
    let forwarded: Vec<&str> = request
        .headers()
        .get_all("x-forwarded-for")
        .map(|value| value.to_str().unwrap_or("unreadable"))
        .flat_map(|line| line.split(','))
        .collect();
    clients.proxies.client(peer, &forwarded)
}

/// A token bucket for each client.
pub struct Buckets(RateLimiter<Client, Table, DefaultClock>);

impl Buckets {
    /// Each client may send `burst` requests at once, and `rate_per_s` on average. None if one of them is 0.
    pub fn new(rate_per_s: u32, burst: u32) -> Option<Self> {
        let quota = Quota::per_second(NonZeroU32::new(rate_per_s)?).allow_burst(NonZeroU32::new(burst)?);
        // A bucket that has not been used for so long is full, as a new one is.
        let table = Cache::builder().max_capacity(CLIENTS_MAX).time_to_idle(quota.burst_size_replenished_in());
        Some(Self(RateLimiter::new(quota, Table(table.build()), DefaultClock::default())))
    }

    /// Takes a token. If there is none, returns the seconds until there is one.
    pub fn take(&self, client: Client) -> Result<(), u32> {
        self.0.check_key(&client).map_err(|empty| {
            let wait = empty.wait_time_from(self.0.clock().now());
            u32::try_from(wait.as_nanos().div_ceil(u128::from(NANOS_PER_S))).unwrap_or(u32::MAX).max(1)
        })
    }
}

struct Table(Cache<Client, Arc<InMemoryState>>);

impl StateStore for Table {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, client: &Client, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let state = self.0.get_with(*client, Arc::default);
        state.measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

/// Refuses the requests of clients whose bucket is empty. An application without [`Buckets`] as application data has
/// no limit.
pub async fn limit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let buckets = request.app_data::<Data<Buckets>>();
    let client = buckets.and_then(|buckets| Some((buckets, Clients::limited(request.request())?)));
    let Some(Err(seconds)) = client.map(|(buckets, client)| buckets.take(client)) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let (request, _) = request.into_parts();
    let answer = too_many_requests(seconds).respond_to(&request);
    Ok(ServiceResponse::new(request, answer))
}

/// The problem for a client that asks for more than its share.
pub fn too_many_requests(retry_after_s: u32) -> Problem {
    let detail = format!("Too many requests come from this address; try again in {retry_after_s} s.");
    Problem::new(ProblemKind::TooManyRequests, detail).retry_after(retry_after_s)
}

const WINDOW: Duration = Duration::from_secs(60);

/// Wrong tokens of the current minute, by client. It limits one who guesses, and nobody else.
pub struct Attempts {
    per_minute_max: u32,
    failed: Cache<Client, Failed>,
}

#[derive(Debug, Clone, Copy)]
struct Failed {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// Each client may send so many wrong tokens in a minute.
    pub fn new(per_minute_max: u32) -> Self {
        let failed = Cache::builder().max_capacity(CLIENTS_MAX).time_to_live(WINDOW).build();
        Self { per_minute_max, failed }
    }

    /// Seconds until this client may try again; None if it may try now.
    pub fn must_wait_s(&self, client: Client, now: Instant) -> Option<u32> {
        let own = self.failed.get(&client).filter(|own| own.count >= self.per_minute_max)?;
        let left = WINDOW.checked_sub(now.duration_since(own.since))?;
        u32::try_from(left.as_secs() + 1).ok()
    }

    /// Counts a wrong token.
    pub fn failed(&self, client: Client, now: Instant) {
        self.failed.entry(client).and_upsert_with(|own| {
            let own = own.map(|own| *own.value()).filter(|own| now.duration_since(own.since) < WINDOW);
            let Failed { since, count } = own.unwrap_or(Failed { since: now, count: 0 });
            Failed { since, count: count.saturating_add(1) }
        });
    }
}

#[cfg(test)]
#[path = "clients_tests.rs"]
mod tests;
