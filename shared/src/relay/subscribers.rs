//! The queues that must get an event. The broker tells a publisher only when no queue at all took a
//! message; when one of two is missing, its share would be lost without a word. So the relay looks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures::future::join_all;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind};
use tokio::time::{Instant, timeout};

use super::rows::Row;
use crate::amqp::health::BrokerHealth;
use crate::amqp::topology::{EVENTS, QUEUES, Queue, User};

/// A queue that was missing is trusted again only after this: its bindings come after it.
const SETTLE: Duration = Duration::from_secs(2);
/// AMQP: there is no such queue.
const NOT_FOUND: u16 = 404;

enum Doubt {
    IsMissing,
    CameBack(Instant),
}

/// What is known of the queues that a service publishes to.
pub(super) struct Subscribers<'a> {
    link: &'a Connection,
    limit: Duration,
    health: &'a BrokerHealth,
    queues: Vec<&'static Queue>,
    /// Where it looks, one look at a time.
    channel: tokio::sync::Mutex<Option<Channel>>,
    doubts: Mutex<BTreeMap<&'static str, Doubt>>,
}

impl<'a> Subscribers<'a> {
    /// `limit` bounds each wait for the broker.
    pub(super) fn new(service: &str, link: &'a Connection, limit: Duration, health: &'a BrokerHealth) -> Self {
        let user = User::ALL.into_iter().find(|user| service.strip_suffix("-service") == Some(user.name()));
        let keys = user.map(User::publishes).unwrap_or_default();
        let is_subscribed = |queue: &Queue| queue.routing_keys.iter().any(|key| keys.contains(key));
        let queues: Vec<&Queue> = QUEUES.iter().copied().filter(|queue| is_subscribed(queue)).collect();
        // What an earlier session saw is looked at anew.
        for queue in &queues {
            health.pass(queue.name);
        }
        Self { link, limit, health, queues, channel: tokio::sync::Mutex::default(), doubts: Mutex::default() }
    }

    /// The queues of a message.
    pub(super) fn of(row: &Row) -> impl Iterator<Item = &'static Queue> {
        let is_bound = row.subscriber_required && row.exchange == EVENTS;
        QUEUES.iter().copied().filter(move |queue| is_bound && queue.routing_keys.contains(&row.routing_key.as_str()))
    }

    /// Why a message must wait, as far as is known without looking.
    pub(super) fn doubt(&self, row: &Row) -> Option<String> {
        let doubts = self.doubts();
        if doubts.is_empty() {
            return None;
        }
        let doubted = Self::of(row).find(|queue| doubts.contains_key(queue.name))?;
        Some(format!("the queue {} is missing", doubted.name))
    }

    /// All queues that the service publishes to.
    pub(super) fn all(&self) -> &[&'static Queue] {
        &self.queues
    }

    /// Looks at some queues.
    pub(super) async fn look(&self, queues: &[&'static Queue]) -> anyhow::Result<()> {
        let mut kept = self.channel.lock().await;
        if self.are_there(&mut kept, queues).await? {
            for queue in queues {
                self.note(queue, true);
            }
            return Ok(());
        }
        // Now one by one: each that is missing closes the channel.
        for queue in queues {
            let is_there = self.is_there(&mut kept, queue.name).await?;
            self.note(queue, is_there);
        }
        Ok(())
    }

    fn note(&self, queue: &'static Queue, is_there: bool) {
        let mut doubts = self.doubts();
        match (is_there, doubts.get(queue.name)) {
            (false, _) => {
                doubts.insert(queue.name, Doubt::IsMissing);
                self.health.fail(queue.name, "the queue is missing; its messages wait in the outbox");
            }
            (true, Some(Doubt::IsMissing)) => {
                doubts.insert(queue.name, Doubt::CameBack(Instant::now()));
            }
            (true, Some(Doubt::CameBack(at))) if at.elapsed() >= SETTLE => {
                doubts.remove(queue.name);
                self.health.pass(queue.name);
            }
            (true, _) => {}
        }
    }

    /// Asks for all of them at once; false when not all are there, or it cannot be told so.
    async fn are_there(&self, kept: &mut Option<Channel>, queues: &[&'static Queue]) -> anyhow::Result<bool> {
        let channel = self.open(kept).await?;
        let asked = join_all(queues.iter().map(|queue| declare_passively(&channel, queue.name)));
        let told = timeout(self.limit, asked).await.context("the broker did not tell of its queues in time")?;
        let all = told.iter().all(Result::is_ok);
        *kept = all.then_some(channel);
        Ok(all)
    }

    async fn is_there(&self, kept: &mut Option<Channel>, queue: &str) -> anyhow::Result<bool> {
        let channel = self.open(kept).await?;
        let looking = declare_passively(&channel, queue);
        match timeout(self.limit, looking).await.context("the broker did not tell of a queue in time")? {
            Ok(()) => {
                *kept = Some(channel);
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::ProtocolError(told) if told.get_id() == NOT_FOUND => Ok(false),
                // A broker that does not let us look (which it does since ever): then it is trusted.
                ErrorKind::ProtocolError(_) if self.link.status().connected() => Ok(true),
                _ => Err(error).context("cannot look at a queue"),
            },
        }
    }

    /// The channel of the last look, or a new one.
    async fn open(&self, kept: &mut Option<Channel>) -> anyhow::Result<Channel> {
        match kept.take() {
            Some(channel) if channel.status().connected() => Ok(channel),
            _ => Ok(timeout(self.limit, self.link.create_channel())
                .await
                .context("the broker did not open a channel in time")??),
        }
    }

    fn doubts(&self) -> MutexGuard<'_, BTreeMap<&'static str, Doubt>> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn declare_passively(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.map(drop)
}
