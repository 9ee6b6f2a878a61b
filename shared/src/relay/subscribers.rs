//! The queues that must get an event. The broker tells a publisher only when no queue at all took a
//! message; when one of two is missing, its share would be lost without a word. So the relay looks.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind};
use tokio::time::{Instant, timeout};

use super::rows::Row;
use crate::amqp::health::BrokerHealth;
use crate::amqp::topology::{EVENTS, QUEUES, Queue, User};

/// How often all queues are looked at, with or without messages for them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
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
    channel: Option<Channel>,
    doubts: BTreeMap<&'static str, Doubt>,
    looked_at: Option<Instant>,
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
        Self { link, limit, health, queues, channel: None, doubts: BTreeMap::new(), looked_at: None }
    }

    /// The queues of a message.
    pub(super) fn of(row: &Row) -> impl Iterator<Item = &'static Queue> {
        let is_bound = row.subscriber_required && row.exchange == EVENTS;
        QUEUES.iter().copied().filter(move |queue| is_bound && queue.routing_keys.contains(&row.routing_key.as_str()))
    }

    /// Why a message must wait, as far as is known without looking.
    pub(super) fn doubt(&self, row: &Row) -> Option<String> {
        let doubted = Self::of(row).find(|queue| self.doubts.contains_key(queue.name))?;
        Some(format!("the queue {} is missing", doubted.name))
    }

    /// Looks at all queues, when it is time.
    pub(super) async fn look_now_and_then(&mut self) -> anyhow::Result<()> {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        let queues = self.queues.clone();
        self.look(&queues).await?;
        self.looked_at = Some(Instant::now());
        Ok(())
    }

    /// Looks at some queues.
    pub(super) async fn look(&mut self, queues: &[&'static Queue]) -> anyhow::Result<()> {
        for queue in queues {
            let is_there = self.is_there(queue.name).await?;
            match (is_there, self.doubts.get(queue.name)) {
                (false, _) => {
                    self.doubts.insert(queue.name, Doubt::IsMissing);
                    self.health.fail(queue.name, "the queue is missing; its messages wait in the outbox");
                }
                (true, Some(Doubt::IsMissing)) => {
                    self.doubts.insert(queue.name, Doubt::CameBack(Instant::now()));
                }
                (true, Some(Doubt::CameBack(at))) if at.elapsed() >= SETTLE => {
                    self.doubts.remove(queue.name);
                    self.health.pass(queue.name);
                }
                (true, _) => {}
            }
        }
        Ok(())
    }

    async fn is_there(&mut self, queue: &str) -> anyhow::Result<bool> {
        let channel = match self.channel.take() {
            Some(channel) if channel.status().connected() => channel,
            _ => timeout(self.limit, self.link.create_channel())
                .await
                .context("the broker did not open a channel in time")??,
        };
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let looking = channel.queue_declare(queue.into(), options, FieldTable::default());
        match timeout(self.limit, looking).await.context("the broker did not tell of a queue in time")? {
            Ok(_) => {
                self.channel = Some(channel);
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
}
