//! Surroundings of a service under test.

use jaego_contracts::{
    OutgoingEvent,
    topology::{EVENTS, User},
};
use jaego_settings::{Settings, Sources};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls, Row, types::ToSql};
use url::Url;

use super::{Replica, SOON};
use crate::{
    lab::wait_until,
    link::LinkCutter,
    provision::Message,
    service::{ServiceSurroundings, Surroundings},
};

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The database, broker user and settings of one service, and the queues of all.
pub struct World {
    pub surroundings: Surroundings,
    pub own: ServiceSurroundings,
    /// The administrator's connection to the service's database. It works even while the service's role cannot log in.
    pub database: Client,
}

impl World {
    /// Creates the surroundings. The database has no schema yet.
    pub async fn new(user: User) -> Self {
        let surroundings = Surroundings::new().await;
        let own = surroundings.service(user).await;
        Self::of(surroundings, own).await
    }

    /// Like [`Self::new`], for access-service, which has no broker user.
    pub async fn access() -> Self {
        let surroundings = Surroundings::new().await;
        let own = surroundings.access().await;
        Self::of(surroundings, own).await
    }

    async fn of(surroundings: Surroundings, own: ServiceSurroundings) -> Self {
        let database = connect(&own.database.admin_url).await;
        Self { surroundings, own, database }
    }

    /// Changes a setting, such as `AMQP__URL`, of everything that starts from now on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.own.env = self.own.with(&[(key, value)]);
    }

    /// Puts a link between everything that starts from now on and the server of a setting, such as `DATABASE__URL`.
    pub async fn link(&mut self, key: &str) -> LinkCutter {
        let direct = self.own.setting(key).expect("the setting").to_owned();
        let server = Url::parse(&direct).expect("a URL");
        let target = format!("{}:{}", server.host_str().expect("a host"), server.port().expect("a port"));
        let link = LinkCutter::start(target).await.expect("a link");
        self.set(key, &link.url(&direct).expect("a URL"));
        link
    }

    /// The service's settings as its process would read them, with some changed.
    pub fn settings<S: Settings>(&self, defaults: &str, changed: &[(&str, &str)]) -> S {
        let env = self.own.with(changed);
        let sources = Sources { defaults, file: None, env_prefix: self.own.prefix(), env };
        jaego_settings::load(sources).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts the built program as a process of its own, with some settings changed.
    pub async fn spawn(&self, program: &str, changed: &[(&str, &str)]) -> Replica {
        // The addresses of its listeners are in its log.
        let readable = [("TELEMETRY__LOG", "info"), ("TELEMETRY__LOG_FORMAT", "json")];
        let env = self.own.with(&[&readable, changed].concat());
        Replica::start(program, env).await
    }

    /// Another connection to the database as the administrator.
    pub async fn as_admin(&self) -> Client {
        connect(&self.own.database.admin_url).await
    }

    pub async fn sql_one(&self, query: &str, values: Parameters<'_>) -> Row {
        self.database.query_one(query, values).await.expect("a row")
    }

    pub async fn count(&self, query: &str) -> i64 {
        self.sql_one(query, &[]).await.get(0)
    }

    /// Waits until a query returns this number.
    pub async fn wait_for_count(&self, query: &str, expected: i64) {
        wait_until(query, SOON, async || {
            let seen = self.count(query).await;
            if seen == expected { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// Terminates all connections of the service to its database and refuses new ones.
    pub async fn begin_outage(&self) -> Outage {
        let outage = Outage { admin: self.as_admin().await, role: self.own.database.name.clone() };
        outage.run("ALTER ROLE \"{role}\" NOLOGIN").await;
        outage.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'").await;
        outage
    }

    /// Publishes an event as a service does.
    pub async fn publish(&self, event: OutgoingEvent) {
        let (key, trace) = (event.kind.routing_key, event.trace.to_string());
        self.publish_raw(EVENTS, key, &event.id.to_string(), &trace, &event.body).await;
    }

    /// Publishes any bytes where the services publish events.
    pub async fn publish_bytes(&self, routing_key: &str, body: &[u8]) {
        self.publish_with(EVENTS, routing_key, json!({"message_id": "test"}), body).await;
    }

    pub async fn publish_raw(&self, exchange: &str, key: &str, message_id: &str, trace: &str, body: &[u8]) {
        let properties = json!({"message_id": message_id, "headers": {"traceparent": trace}});
        self.publish_with(exchange, key, properties, body).await;
    }

    async fn publish_with(&self, exchange: &str, key: &str, mut properties: Value, body: &[u8]) {
        properties["content_type"] = json!("application/cloudevents+json");
        properties["delivery_mode"] = json!(2);
        let vhost = &self.surroundings.vhost;
        let routed = vhost.broker().publish(&vhost.name, exchange, key, &properties, body).await.expect("published");
        assert!(routed, "no queue takes {key} on {exchange}");
    }

    /// Waits until a queue holds this many messages.
    pub async fn wait_for_depth(&self, queue: &str, depth: u32) {
        wait_until(&format!("{depth} messages in {queue}"), SOON, async || {
            match self.surroundings.vhost.depth(queue).await {
                Ok(seen) if seen == depth => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Waits until a queue has `count` messages; returns them without removing them.
    pub async fn messages(&self, queue: &str, count: u32) -> Vec<Message> {
        self.wait_for_depth(queue, count).await;
        let vhost = &self.surroundings.vhost;
        vhost.broker().get_messages(&vhost.name, queue, count + 1).await.expect("messages")
    }
}

/// While it lasts, the database refuses its service.
pub struct Outage {
    admin: Client,
    role: String,
}

impl Outage {
    pub async fn end(self) {
        self.run("ALTER ROLE \"{role}\" LOGIN").await;
    }

    async fn run(&self, statement: &str) {
        self.admin.batch_execute(&statement.replace("{role}", &self.role)).await.expect("the administrator may");
    }
}

/// Connects to PostgreSQL.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("connected to PostgreSQL");
    // The task ends with the client, whose calls return its errors.
    tokio::spawn(connection);
    client
}
