//! A window of events in flight, and the broker's response to each.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::time::{Instant, timeout_at};

use super::rows::Row;

/// Result of one attempt to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The confirm has not arrived.
    Waiting,
    /// The broker has confirmed it. This includes a returned event, whose key is then among the complaints.
    Confirmed,
    /// The event cannot be sent as it is.
    Refused(String),
    /// The broker refused it, or did not confirm in time.
    NotTaken,
}

/// Reason why a window is not confirmed.
pub(super) enum Unconfirmed {
    Late,
    Broken(lapin::Error),
}

pub(super) struct Window {
    rows: Vec<(Row, Outcome)>,
    /// One entry per row; None when no confirm is outstanding.
    confirms: Vec<Option<PublisherConfirm>>,
    /// The held key that this window probes with a single event.
    probed: Option<String>,
    deadline: Instant,
    limit: Duration,
    /// Errors of the keys that the broker did not accept.
    complaints: BTreeMap<String, String>,
}

impl Window {
    /// `rows` must not be empty. Each wait for the broker lasts at most `limit`.
    pub(super) fn new(rows: Vec<Row>, probed: Option<String>, limit: Duration) -> Self {
        let confirms = rows.iter().map(|_| None).collect();
        let rows = rows.into_iter().map(|row| (row, Outcome::Waiting)).collect();
        Self { rows, confirms, probed, deadline: Instant::now() + limit, limit, complaints: BTreeMap::new() }
    }

    /// The first and the last id.
    pub(super) fn span(&self) -> (i64, i64) {
        let id = |row: Option<&(Row, Outcome)>| row.map_or(0, |(row, _)| row.id);
        (id(self.rows.first()), id(self.rows.last()))
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.confirms.iter().all(Option::is_none)
    }

    /// The probed key, and the rows with their outcomes.
    pub(super) fn into_rows(self) -> (Option<String>, Vec<(Row, Outcome)>) {
        (self.probed, self.rows)
    }

    pub(super) fn take_complaints(&mut self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.complaints)
    }

    /// Writes all events to the channel in order; none waits for the previous one.
    pub(super) async fn publish(&mut self, channel: &Channel) -> Result<(), Unconfirmed> {
        let sends = join_all(self.rows.iter().map(|(row, _)| send(channel, row)));
        let sent = timeout_at(self.deadline, sends).await.map_err(|_| Unconfirmed::Late)?;
        for ((confirm, (_, outcome)), sent) in self.confirms.iter_mut().zip(&mut self.rows).zip(sent) {
            match sent {
                Ok(sent) => *confirm = Some(sent.map_err(Unconfirmed::Broken)?),
                Err(error) => *outcome = Outcome::Refused(error),
            }
        }
        Ok(())
    }

    /// Waits until all confirms have arrived. If it is dropped midway, the next call resumes where it stopped.
    pub(super) async fn confirmed(&mut self) -> Result<(), Unconfirmed> {
        for place in 0..self.rows.len() {
            if let Some(confirm) = &mut self.confirms[place] {
                let confirmation = timeout_at(self.deadline, confirm).await.map_err(|_| Unconfirmed::Late)?;
                self.note(place, confirmation.map_err(Unconfirmed::Broken)?);
            }
        }
        Ok(())
    }

    /// Records the confirms that have already arrived.
    pub(super) fn take_ready(&mut self) {
        for place in 0..self.rows.len() {
            let ready = self.confirms[place].as_mut().and_then(FutureExt::now_or_never);
            if let Some(Ok(confirmation)) = ready {
                self.note(place, confirmation);
            }
        }
    }

    fn note(&mut self, place: usize, confirmation: Confirmation) {
        self.confirms[place] = None;
        let (row, outcome) = &mut self.rows[place];
        *outcome = match confirmation {
            Confirmation::Ack(returned) => {
                if let Some(returned) = returned {
                    // The returned message may belong to another row.
                    let delivery = &returned.delivery;
                    let key = Row::key_of(delivery.exchange.as_str(), delivery.routing_key.as_str());
                    self.complaints.insert(key, "no queue is bound for it".to_owned());
                }
                Outcome::Confirmed
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                self.complaints.insert(row.key(), "the broker refused it: a queue is full or down".to_owned());
                Outcome::NotTaken
            }
        };
    }

    /// Extends the deadline, because the broker accepts nothing at all at present.
    pub(super) fn wait_longer(&mut self) {
        self.deadline = Instant::now() + self.limit;
    }

    /// Gives up on the outstanding confirms.
    pub(super) fn give_up(&mut self) {
        for ((row, outcome), confirm) in self.rows.iter_mut().zip(&mut self.confirms) {
            if confirm.take().is_some() {
                self.complaints.insert(row.key(), "the broker did not confirm in time".to_owned());
                *outcome = Outcome::NotTaken;
            }
        }
    }
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
