//! Callbacks whose request is held by another transaction: an operator's, another replica's, or one that hangs. They
//! are each taken on their own, a few at a time, outside the batches, so that no other callback waits.

use std::sync::Arc;

use jaego_net::patience::Backoff;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::Waiter;
use super::batch::{self, Taken, Taker};
use crate::store::requests::IfHeld;

/// Maximum number tried at once: each uses a connection of the pool, which others need too.
const AT_ONCE_MAX: usize = 4;
/// Maximum number retried here; any more wait in the channel.
const WAITING_MAX: usize = 1_000;

/// Takes held callbacks until the channel is closed and all of them are done.
pub(super) async fn run(taker: Arc<Taker>, mut blocked: mpsc::Receiver<Waiter>) {
    let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
    let mut waiting = JoinSet::new();
    loop {
        tokio::select! {
            Some(waiter) = blocked.recv(), if waiting.len() < WAITING_MAX => {
                waiting.spawn(take_one(taker.clone(), places.clone(), waiter));
            }
            Some(_) = waiting.join_next() => {}
            else => return,
        }
    }
}

/// Retries until the request is free and the store is available. A place is needed only for an attempt, so that several
/// callbacks of one held request do not keep those of another one waiting.
async fn take_one(taker: Arc<Taker>, places: Arc<Semaphore>, waiter: Waiter) {
    let mut backoff = Backoff::default();
    loop {
        taker.wait_for_room().await;
        let place = places.acquire().await;
        let taken = batch::take(&taker, &[waiter.callback.as_ref()], IfHeld::Wait).await.pop();
        drop(place);
        match taken {
            Some(Taken::Answered(answer)) => return waiter.reply(Ok(answer)),
            Some(Taken::Failed(problem)) => return waiter.reply(Err(problem)),
            Some(Taken::Held | Taken::NotNow) | None => backoff.wait().await,
        }
    }
}
