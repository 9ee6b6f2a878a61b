//! Client of RabbitMQ's management API.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jaego_amqp::provision;
use jaego_amqp::provision::segment;
use jaego_contracts::topology::Permissions;
use reqwest::{Client, Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::error::{Error, Result};

/// Maximum repetitions of an import that is incomplete by a fault of the broker.
const IMPORT_REPEATS_MAX: u32 = 3;

/// The management API of one RabbitMQ, as one user.
#[derive(Clone)]
pub struct Broker {
    client: Client,
    base_url: String,
    user: String,
    password: String,
}

/// A queue as the management API last saw it, which may have been seconds ago.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct QueueInfo {
    pub name: String,
    /// Ready and unacknowledged messages.
    #[serde(default)]
    pub messages: u64,
    #[serde(default)]
    pub messages_ready: u64,
    #[serde(default)]
    pub messages_unacknowledged: u64,
    #[serde(default)]
    pub consumers: u64,
    /// The `x-` arguments.
    #[serde(default)]
    pub arguments: BTreeMap<String, Value>,
}

/// A message that was read from a queue.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// The body as text or base64.
    pub payload: String,
    /// `string` or `base64`.
    pub payload_encoding: String,
    #[serde(default)]
    pub exchange: String,
    #[serde(default)]
    pub routing_key: String,
    #[serde(default)]
    pub redelivered: bool,
    /// The API returns an empty list for a message without properties.
    #[serde(default, deserialize_with = "properties_or_empty_list")]
    pub properties: MessageProperties,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MessageProperties {
    pub headers: BTreeMap<String, Value>,
    pub message_id: Option<String>,
    pub content_type: Option<String>,
    /// The property `type`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// 2 = persistent.
    pub delivery_mode: Option<u8>,
}

impl Message {
    /// The decoded body.
    pub fn bytes(&self) -> Vec<u8> {
        if self.payload_encoding == "base64" {
            STANDARD.decode(&self.payload).unwrap_or_default()
        } else {
            self.payload.clone().into_bytes()
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("base_url", &self.base_url).field("user", &self.user).finish_non_exhaustive()
    }
}

impl Broker {
    /// The API at `base_url` (`http://127.0.0.1:15672`). Each runtime needs its own client.
    pub fn new(base_url: &str, user: &str, password: &str) -> Self {
        Self {
            // Connections are not reused: the API closes one after some number of requests, even while the
            // next request is on its way.
            client: crate::http::client_of_fresh_connections(Duration::from_secs(30)),
            base_url: base_url.trim_end_matches('/').to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// Overview of the whole broker.
    pub async fn overview(&self) -> Result<Value> {
        self.get("/api/overview").await
    }

    pub async fn create_vhost(&self, name: &str) -> Result<()> {
        self.send(Method::PUT, &format!("/api/vhosts/{}", segment(name)), None).await
    }

    /// Deletes a vhost and everything in it.
    pub async fn delete_vhost(&self, name: &str) -> Result<()> {
        self.delete(&format!("/api/vhosts/{}", segment(name))).await
    }

    /// Creates exchanges, queues and bindings in a vhost.
    ///
    /// RabbitMQ 3.10 fails when the first statistics of a new queue are due while it is declared, and under load it
    /// reports a success although a queue could not be declared in time. Importing again adds what is missing.
    pub async fn import_definitions(&self, vhost: &str, definitions: &Value) -> Result<()> {
        let path = format!("/api/definitions/{}", segment(vhost));
        let mut repeats = 0;
        loop {
            let imported = match self.send(Method::POST, &path, Some(definitions)).await {
                Ok(()) => self.expect_queues(vhost, definitions).await,
                Err(error) if error.to_string().contains("rabbit_quorum_queue,handle_tick") => Err(error),
                Err(error) => return Err(error),
            };
            if imported.is_ok() || repeats == IMPORT_REPEATS_MAX {
                return imported;
            }
            repeats += 1;
        }
    }

    async fn expect_queues(&self, vhost: &str, definitions: &Value) -> Result<()> {
        let found: BTreeSet<String> = self.queues(vhost).await?.into_iter().map(|queue| queue.name).collect();
        let declared = definitions["queues"].as_array().into_iter().flatten();
        match declared.filter_map(|queue| queue["name"].as_str()).find(|name| !found.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(Error::NotImported { vhost: vhost.to_owned(), queue: name.to_owned() }),
        }
    }

    /// Creates a service's user with its rights in a vhost, or changes its password and rights.
    pub async fn put_service(&self, vhost: &str, name: &str, password: &str, rights: &Permissions) -> Result<()> {
        let puts = provision::rights(vhost, name, rights);
        for put in [provision::user(name, &password.into())].iter().chain(&puts) {
            self.send(Method::PUT, &put.path, Some(&put.body)).await?;
        }
        Ok(())
    }

    pub async fn delete_user(&self, name: &str) -> Result<()> {
        self.delete(&format!("/api/users/{}", segment(name))).await
    }

    /// Sets what a user may configure, write and read in a vhost: regular expressions over names.
    pub async fn set_permissions(
        &self,
        vhost: &str,
        user: &str,
        configure: &str,
        write: &str,
        read: &str,
    ) -> Result<()> {
        let path = format!("/api/permissions/{}/{}", segment(vhost), segment(user));
        let body = json!({ "configure": configure, "write": write, "read": read });
        self.send(Method::PUT, &path, Some(&body)).await
    }

    /// One queue. Its numbers lag behind, see [`super::amqp_depth`].
    pub async fn queue(&self, vhost: &str, name: &str) -> Result<QueueInfo> {
        self.get(&queue_path(vhost, name)).await
    }

    pub async fn queues(&self, vhost: &str) -> Result<Vec<QueueInfo>> {
        self.get(&format!("/api/queues/{}", segment(vhost))).await
    }

    /// Reads the first messages of a queue. They stay in it, and their delivery count increases by one.
    pub async fn get_messages(&self, vhost: &str, queue: &str, count: u32) -> Result<Vec<Message>> {
        let path = format!("{}/get", queue_path(vhost, queue));
        let body = json!({ "count": count, "ackmode": "ack_requeue_true", "encoding": "auto" });
        self.ask(Method::POST, &path, Some(&body)).await
    }

    /// Publishes a message; returns true when a queue received it. `properties` are in the API's format:
    /// `{"message_id": "..", "content_type": "..", "delivery_mode": 2, "headers": {..}}`.
    pub async fn publish(
        &self,
        vhost: &str,
        exchange: &str,
        routing_key: &str,
        properties: &Value,
        payload: &[u8],
    ) -> Result<bool> {
        #[derive(Deserialize)]
        struct Published {
            routed: bool,
        }
        let path = format!("/api/exchanges/{}/{}/publish", segment(vhost), segment(exchange));
        let body = json!({
            "properties": properties,
            "routing_key": routing_key,
            "payload": STANDARD.encode(payload),
            "payload_encoding": "base64",
        });
        let published: Published = self.ask(Method::POST, &path, Some(&body)).await?;
        Ok(published.routed)
    }

    /// Deletes a queue and everything in it.
    pub async fn delete_queue(&self, vhost: &str, queue: &str) -> Result<()> {
        self.delete(&queue_path(vhost, queue)).await
    }

    /// Removes the waiting messages of a queue.
    pub async fn purge(&self, vhost: &str, queue: &str) -> Result<()> {
        self.delete(&format!("{}/contents", queue_path(vhost, queue))).await
    }

    /// Closes every connection of the whole broker and returns their number. A connection of the last second
    /// may not be listed yet.
    pub async fn close_all_connections(&self) -> Result<usize> {
        self.close_listed("/api/connections").await
    }

    /// Closes every connection to a vhost and returns their number.
    pub async fn close_connections(&self, vhost: &str) -> Result<usize> {
        self.close_listed(&format!("/api/vhosts/{}/connections", segment(vhost))).await
    }

    async fn close_listed(&self, path: &str) -> Result<usize> {
        #[derive(Deserialize)]
        struct Listed {
            name: Option<String>,
        }
        let listed: Vec<Listed> = self.get(path).await?;
        let names: Vec<String> = listed.into_iter().filter_map(|listed| listed.name).collect();
        for name in &names {
            self.delete(&format!("/api/connections/{}", segment(name))).await?;
        }
        Ok(names.len())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask(Method::GET, path, None).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&Value>) -> Result<T> {
        let request = format!("{method} {path}");
        let (status, answer) = self.exchange(method, path, body).await?;
        match serde_json::from_str(&answer) {
            Ok(value) if status.is_success() => Ok(value),
            _ => Err(Error::Broker { request, status: status.as_u16(), answer }),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<()> {
        let request = format!("{method} {path}");
        let (status, answer) = self.exchange(method, path, body).await?;
        if status.is_success() { Ok(()) } else { Err(Error::Broker { request, status: status.as_u16(), answer }) }
    }

    /// Treats a missing resource as deleted already.
    async fn delete(&self, path: &str) -> Result<()> {
        match self.send(Method::DELETE, path, None).await {
            Err(Error::Broker { status: 404, .. }) => Ok(()),
            other => other,
        }
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, String)> {
        let url = format!("{}{path}", self.base_url);
        let failed = |source| Error::Http { request: format!("{method} {url}"), source };
        let mut request = self.client.request(method.clone(), &url).basic_auth(&self.user, Some(&self.password));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        Ok((status, text))
    }
}

fn queue_path(vhost: &str, name: &str) -> String {
    format!("/api/queues/{}/{}", segment(vhost), segment(name))
}

fn properties_or_empty_list<'de, D>(deserializer: D) -> Result<MessageProperties, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let value = Value::deserialize(deserializer)?;
    if value.is_array() {
        return Ok(MessageProperties::default());
    }
    serde_json::from_value(value).map_err(serde::de::Error::custom)
}
