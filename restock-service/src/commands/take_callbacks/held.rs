//! Callbacks whose request somebody else holds: an operator, another replica, a transaction that hangs.
//! They are taken one by one, beside the batches, so that only they wait for it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::batch::{self, Taken, Taker};
use super::metrics::CallbackMetrics;
use super::{Waiter, overloaded};
use crate::store::requests::IfHeld;

/// Most that are taken at the same time: each has a connection of the pool, which others need, too.
const AT_ONCE_MAX: usize = 4;

/// Takes what is set aside until nobody sets anything aside any more.
pub(super) async fn run(taker: Arc<Taker>, metrics: CallbackMetrics, mut aside: mpsc::Receiver<Waiter>) {
    let mut working = JoinSet::new();
    loop {
        tokio::select! {
            Some(waiter) = aside.recv(), if working.len() < AT_ONCE_MAX => {
                working.spawn(take_one(taker.clone(), metrics.clone(), waiter));
            }
            Some(_) = working.join_next() => {}
            else => return,
        }
    }
}

async fn take_one(taker: Arc<Taker>, metrics: CallbackMetrics, waiter: Waiter) {
    let taken = batch::take(&taker, &[waiter.callback.as_ref()], IfHeld::Wait).await.pop();
    let answer = match taken {
        Some(Ok(Taken::Answered(answer))) => Ok(answer),
        Some(Err(problem)) => Err(problem),
        Some(Ok(Taken::Held)) | None => Err(overloaded()),
    };
    waiter.reply(answer, &metrics);
}
