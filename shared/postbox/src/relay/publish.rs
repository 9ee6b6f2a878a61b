//! A window of events in flight, and the broker's response to each.

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use jaego_amqp::connection;
use jaego_amqp::settings::Broker;
use jaego_pg::StoreError;
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use tokio::time::{Instant, timeout_at};

use super::rows::{Fate, Row};

const LATE: &str = "the broker did not confirm in time";
pub(super) const NO_QUEUE: &str = "no queue is bound for it";
const NOT_TAKEN: &str = "the broker refused it: a queue is full or down";

/// Reason why the relay cannot go on as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{LATE}")]
    Late,
    /// The channel is closed, or the connection is lost.
    #[error("{0}")]
    Broken(String),
}

impl From<lapin::Error> for Failure {
    fn from(error: lapin::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

enum State {
    Unsent,
    Sent(PublisherConfirm),
    Known(Fate),
}

pub(super) struct Window {
    /// The first and the last id.
    pub(super) span: (i64, i64),
    /// In the order of their ids, without those whose fate was taken.
    events: Vec<(Row, State)>,
    /// Ids and keys of messages that the broker has returned on this window's channel; they may belong to another
    /// window.
    pub(super) returned: Vec<(String, String)>,
    deadline: Instant,
    limit: Duration,
}

impl Window {
    /// Each wait for the next confirm lasts at most `limit`.
    pub(super) fn new(rows: Vec<Row>, limit: Duration) -> Self {
        let id = |row: Option<&Row>| row.map_or(0, |row| row.id);
        let span = (id(rows.first()), id(rows.last()));
        let events = rows.into_iter().map(|row| (row, State::Unsent)).collect();
        Self { span, events, returned: Vec::new(), deadline: Instant::now() + limit, limit }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.events.iter().all(|(_, state)| matches!(state, State::Known(_)))
    }

    /// True when all fates were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Removes the events whose fate is known.
    pub(super) fn take_known(&mut self) -> Vec<(Row, Fate)> {
        let known = self.events.extract_if(.., |(_, state)| matches!(state, State::Known(_)));
        known.filter_map(|(row, state)| if let State::Known(fate) = state { Some((row, fate)) } else { None }).collect()
    }

    /// Decides the fate of the other events.
    pub(super) fn give_up(&mut self, fate: &Fate) {
        for (_, state) in self.events.iter_mut().filter(|(_, state)| !matches!(state, State::Known(_))) {
            *state = State::Known(fate.clone());
        }
    }

    pub(super) fn into_rows(self) -> impl Iterator<Item = Row> {
        self.events.into_iter().map(|(row, _)| row)
    }

    /// Writes all events to the channel in order; none waits for the previous one.
    pub(super) async fn publish(&mut self, channel: &Channel) -> Result<(), Failure> {
        let sends = join_all(self.events.iter().map(|(row, _)| send(channel, row)));
        let sent = timeout_at(self.deadline, sends).await.map_err(|_| Failure::Late)?;
        for ((_, state), sent) in self.events.iter_mut().zip(sent) {
            *state = match sent {
                Ok(sent) => State::Sent(sent?),
                Err(error) => State::Known(Fate::Refused(error)),
            };
        }
        Ok(())
    }

    /// Waits until all confirms have arrived. If it is dropped midway, the next call resumes where it stopped.
    pub(super) async fn confirmed(&mut self) -> Result<(), Failure> {
        for place in 0..self.events.len() {
            if let State::Sent(confirm) = &mut self.events[place].1 {
                let confirmation = timeout_at(self.deadline, confirm).await.map_err(|_| Failure::Late)??;
                self.note(place, confirmation);
                self.wait_longer();
            }
        }
        Ok(())
    }

    /// Records the confirms that have already arrived.
    pub(super) fn take_ready(&mut self) {
        for place in 0..self.events.len() {
            if let State::Sent(confirm) = &mut self.events[place].1
                && let Some(Ok(confirmation)) = confirm.now_or_never()
            {
                self.note(place, confirmation);
            }
        }
    }

    fn note(&mut self, place: usize, confirmation: Confirmation) {
        let (fate, returned) = match confirmation {
            Confirmation::Ack(returned) => (Fate::Published, returned),
            Confirmation::Nack(returned) => (Fate::Held(NOT_TAKEN.to_owned()), returned),
            Confirmation::NotRequested => (Fate::Held(NOT_TAKEN.to_owned()), None),
        };
        if let Some(BasicReturnMessage { delivery, .. }) = returned {
            let id = delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
            self.returned.push((id, Row::key_of(delivery.exchange.as_str(), delivery.routing_key.as_str())));
        }
        self.events[place].1 = State::Known(fate);
    }

    /// Extends the deadline, because the broker has just accepted something, or accepts nothing at all at present.
    pub(super) fn wait_longer(&mut self) {
        self.deadline = Instant::now() + self.limit;
    }
}

/// A held key's events, and the result of publishing them.
pub(super) struct Probe {
    pub(super) key: String,
    pub(super) window: Window,
    pub(super) result: Result<(), Failure>,
}

/// Publishes events of a held key on a channel of their own: whatever becomes of it, others are not affected. The
/// channel is closed when this ends.
pub(super) async fn probe(link: &Connection, amqp: Broker, key: String, mut window: Window) -> Probe {
    let result = async {
        let channel = connection::confirming_channel(link, &amqp).await.map_err(|_| Failure::Late)?;
        window.publish(&channel).await?;
        window.confirmed().await
    };
    let result = result.await;
    Probe { key, window, result }
}

/// Writes an event to the channel; its confirm arrives later. The outer error means that this event cannot be sent.
async fn send(channel: &Channel, row: &Row) -> Result<lapin::Result<PublisherConfirm>, String> {
    let (properties, exchange, key) = addressed(row)?;
    // An event that needs no subscriber is not returned.
    let options = BasicPublishOptions { mandatory: row.subscriber_required, ..BasicPublishOptions::default() };
    Ok(channel.basic_publish(exchange, key, options, &row.body, properties).await)
}

/// Fails when a header name, the id, the content type or the address is too long for AMQP.
fn addressed(row: &Row) -> Result<(BasicProperties, ShortString, ShortString), String> {
    let short = |text: &str| ShortString::try_new(text).map_err(|error| error.to_string());
    let mut headers = FieldTable::default();
    for (name, value) in row.headers.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        headers.insert(short(name)?, AMQPValue::LongString(text.into()));
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(short(&row.message_id)?)
        .with_content_type(short(&row.content_type)?)
        .with_headers(headers);
    Ok((properties, short(&row.exchange)?, short(&row.routing_key)?))
}
