//! Callbacks whose request somebody else holds: an operator, another replica, a transaction that hangs.
//! They are taken one by one, beside the batches, so that only they wait for it.

use std::sync::Arc;

use jaego_net::patience::Backoff;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Waiter;
use super::batch::{self, Taken, Taker};
use crate::store::requests::IfHeld;

/// Most that are taken at the same time: each has a connection of the pool, which others need, too.
const AT_ONCE_MAX: usize = 4;

/// Takes what is set aside until nobody sets anything aside any more.
pub(super) async fn run(taker: Arc<Taker>, mut aside: mpsc::Receiver<Waiter>) {
    let mut working = JoinSet::new();
    loop {
        tokio::select! {
            Some(waiter) = aside.recv(), if working.len() < AT_ONCE_MAX => {
                working.spawn(take_one(taker.clone(), waiter));
            }
            Some(_) = working.join_next() => {}
            else => return,
        }
    }
}

/// Until its request is free, or the store is back.
async fn take_one(taker: Arc<Taker>, waiter: Waiter) {
    let mut backoff = Backoff::default();
    loop {
        taker.wait_for_room().await;
        match batch::take(&taker, &[waiter.callback.as_ref()], IfHeld::Wait).await.pop() {
            Some(Taken::Answered(answer)) => return waiter.reply(Ok(answer)),
            Some(Taken::Failed(problem)) => return waiter.reply(Err(problem)),
            Some(Taken::Held | Taken::NotNow) | None => backoff.wait().await,
        }
    }
}
