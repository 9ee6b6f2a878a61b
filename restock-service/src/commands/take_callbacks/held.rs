//! Callbacks whose request is held by another transaction: an operator's, another replica's, or one that hangs. Those of
//! one request are retried together, outside the batches, so that no callback of another request waits.

use std::collections::HashMap;

use futures::stream::{FuturesUnordered, StreamExt};
use jaego_contracts::ids::RequestId;
use jaego_net::patience::Backoff;
use tokio::sync::{Semaphore, mpsc};

use super::Waiter;
use super::batch::Taker;

/// Maximum requests tried at once: each uses a connection of the pool, which others need too.
const AT_ONCE_MAX: usize = 4;

/// Takes held callbacks until the channel is closed and all of them are done. If there are more than `room`, the others
/// are kept outside.
pub(super) async fn run(taker: &Taker, batch_max: usize, room: usize, mut blocked: mpsc::Receiver<Waiter>) {
    let places = Semaphore::new(AT_ONCE_MAX);
    let mut trying = FuturesUnordered::new();
    // The callbacks that arrived for a request while earlier ones of it are tried.
    let mut behind: HashMap<RequestId, Vec<Waiter>> = HashMap::new();
    let mut count = 0;
    loop {
        tokio::select! {
            Some(waiter) = blocked.recv() => {
                let id = waiter.callback.message.request_id;
                if count == room {
                    waiter.keep();
                    continue;
                }
                count += 1;
                if let Some(behind) = behind.get_mut(&id) {
                    behind.push(waiter);
                } else {
                    behind.insert(id, Vec::new());
                    trying.push(take_all(taker, batch_max, &places, id, vec![waiter]));
                }
            }
            Some((id, done)) = trying.next() => {
                count -= done;
                if let Some(next) = behind.remove(&id).filter(|next| !next.is_empty()) {
                    behind.insert(id, Vec::new());
                    trying.push(take_all(taker, batch_max, &places, id, next));
                }
            }
            else => return,
        }
    }
}

/// Retries until the request is free and the store is available. A place is needed only for an attempt, so that a
/// request that stays held does not keep another one waiting.
async fn take_all(
    taker: &Taker,
    batch_max: usize,
    places: &Semaphore,
    id: RequestId,
    mut waiters: Vec<Waiter>,
) -> (RequestId, usize) {
    let (count, mut backoff) = (waiters.len(), Backoff::default());
    while !waiters.is_empty() {
        let rest = waiters.split_off(waiters.len().min(batch_max));
        let place = places.acquire().await;
        let (mut left, later) = super::attempt(taker, waiters).await;
        drop(place);
        left.extend(later);
        let is_done = left.is_empty();
        left.extend(rest);
        waiters = left;
        if !is_done {
            backoff.wait().await;
        }
    }
    (id, count)
}
