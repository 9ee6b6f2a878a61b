//! `jaegoctl topology apply` creates users with passwords on a private broker with TLS; these users can do what they
//! need, and nothing else.

use std::{fs, time::Duration};

use lapin::{
    BasicProperties, Confirmation, Connection, ConnectionProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use testkit::{
    certificates::Certificates,
    servers::{RabbitOptions, RabbitServer, find_rabbitmq, wipe},
};
use tokio::time::timeout;

use crate::program::{Ran, Running, run};

/// A broker with its administrator, and the services' URLs.
struct TestBroker {
    env: Vec<(&'static str, String)>,
    amqp_port: u16,
}

impl TestBroker {
    fn set(&mut self, name: &'static str, value: &str) {
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value.to_owned()));
    }

    fn url(&self, user: &str, password: &str) -> String {
        format!("amqp://{user}:{password}@127.0.0.1:{}/jaego", self.amqp_port)
    }

    async fn apply(&self, args: &[&str]) -> Ran {
        let ran = run(&[&["topology", "apply", "--yes"], args].concat(), &self.env).await;
        assert!(!format!("{ran:?}").contains("-secret"), "a password is shown: {ran:?}");
        ran
    }

    async fn connect(&self, user: &str, password: &str) -> lapin::Result<Connection> {
        let url = self.url(user, password);
        let connecting = Connection::connect(&url, ConnectionProperties::default());
        timeout(Duration::from_secs(120), connecting).await.expect("an answer")
    }
}

// Control: own-queues.
#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_with_no_more_rights_than_their_own() {
    let root = tempfile::tempdir().unwrap();
    let (dir, certificates) = (root.path().join("rabbitmq"), Certificates::for_host("localhost").unwrap());
    let ca_file = root.path().join("ca.pem").display().to_string();
    fs::write(&ca_file, &certificates.authority).unwrap();
    let options = RabbitOptions { tls: Some(certificates), ..RabbitOptions::default() };
    let mut server = RabbitServer::start(&find_rabbitmq().unwrap(), &dir, &options).await.unwrap();
    let (admin, password) = server.admin();
    let mut surroundings = TestBroker {
        env: vec![
            ("RABBITMQ_MANAGEMENT_URL", format!("https://localhost:{}", server.management_tls_port())),
            ("RABBITMQ_ADMIN_USER", admin.to_owned()),
            ("RABBITMQ_ADMIN_PASSWORD", password.to_owned()),
        ],
        amqp_port: server.amqp_port(),
    };
    for (name, user) in
        [("SALES_AMQP_URL", "sales"), ("PRODUCTION_AMQP_URL", "production"), ("FRONTEND_AMQP_URL", "frontend")]
    {
        let url = surroundings.url(user, &format!("{user}-secret"));
        surroundings.set(name, &url);
    }
    let restock_file = root.path().join("restock-url");
    fs::write(&restock_file, surroundings.url("restock", "restock-secret")).unwrap();
    let restock_file = restock_file.display().to_string();

    // It does not talk to a server that it cannot verify.
    let ran = surroundings.apply(&["--create-vhost"]).await.ends_with(3);
    assert!(ran.stderr.contains("UnknownIssuer"), "{}", ran.stderr);
    surroundings.set("RABBITMQ_CA_FILE", &format!("{ca_file}.absent"));
    let ran = surroundings.apply(&["--create-vhost"]).await.ends_with(2);
    assert!(ran.stderr.contains("ca.pem.absent"), "{}", ran.stderr);

    // Starts without a virtual host, while the broker is still starting.
    server.stop_node().await.unwrap();
    surroundings.env.retain(|(name, _)| *name != "RABBITMQ_CA_FILE");
    let args = ["topology", "apply", "--create-vhost", "--make-users", "--yes", "--wait-s", "90"];
    let args = [&args[..], &["--broker-ca-file", &ca_file, "--restock-url-file", &restock_file]].concat();
    let mut waiting = Running::start(&args, &surroundings.env);
    let said = waiting.said().await;
    assert!(said.starts_with("waiting: the broker does not answer at https://localhost:"), "{said}");
    server.start_node().await.unwrap();
    let ran = waiting.end().await.ends_with(0);
    assert!(ran.stdout.contains("Applied") && ran.stdout.contains("set: password of user restock"), "{}", ran.stdout);
    surroundings.set("RABBITMQ_CA_FILE", &ca_file);
    assert!(!format!("{ran:?}").contains("-secret"), "{ran:?}");
    surroundings.apply(&[]).await.ends_with(0);

    has_only_its_own_rights(&surroundings).await;
    the_frontend_only_listens(&surroundings).await;

    // Applied again with another password.
    let changed = surroundings.url("sales", "other-secret");
    surroundings.set("SALES_AMQP_URL", &changed);
    surroundings.apply(&["--make-users"]).await.ends_with(0);
    surroundings.connect("sales", "other-secret").await.unwrap();
    surroundings.connect("production", "production-secret").await.unwrap();
    assert!(surroundings.connect("sales", "sales-secret").await.is_err());

    // A virtual host in which the administrator has no rights.
    server.ctl(&["add_vhost", "elsewhere"]).await.unwrap();
    surroundings.apply(&["--vhost", "elsewhere"]).await.ends_with(0);

    refuses_unusable_urls_and_users(&mut surroundings, &server).await;
    applies_without_administrator_rights(&mut surroundings, &server).await;
    server.stop().await.unwrap();
    wipe(&dir).unwrap();
}

/// A service has its own rights and none of the others'. A refusal closes a channel.
async fn has_only_its_own_rights(surroundings: &TestBroker) {
    let connection = surroundings.connect("sales", "sales-secret").await.unwrap();
    let consume = async |queue: &str| {
        let channel = connection.create_channel().await.unwrap();
        let options = BasicConsumeOptions::default();
        channel.basic_consume(queue.into(), "test".into(), options, FieldTable::default()).await.map(drop)
    };
    let publish = async |key: &str| {
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = BasicPublishOptions::default();
        let sent =
            channel.basic_publish("jaego.events".into(), key.into(), options, b"{}", BasicProperties::default()).await;
        timeout(Duration::from_secs(120), sent?).await.expect("an answer")
    };
    let refused = |error: lapin::Error| assert!(error.to_string().contains("ACCESS_REFUSED"), "{error}");

    consume("sales.stock-received").await.unwrap();
    refused(consume("production.requests").await.unwrap_err());
    assert!(matches!(publish("order.confirmed").await.unwrap(), Confirmation::Ack(_)));
    refused(publish("stock.received").await.unwrap_err());
    for queue in ["mine", "sales.mine"] {
        let channel = connection.create_channel().await.unwrap();
        let declared = channel.queue_declare(queue.into(), QueueDeclareOptions::default(), FieldTable::default()).await;
        refused(declared.map(drop).unwrap_err());
    }
}

/// The frontend makes its own queues and binds them to events; it can neither read other queues nor publish.
async fn the_frontend_only_listens(surroundings: &TestBroker) {
    let connection = surroundings.connect("frontend", "frontend-secret").await.unwrap();
    let refused = |error: lapin::Error| assert!(error.to_string().contains("ACCESS_REFUSED"), "{error}");
    let declare = async |queue: &str| {
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
        declared.map(|_| channel)
    };
    let bind = async |exchange: &str, key: &str| {
        let channel = declare("frontend.live.test").await.unwrap();
        let options = QueueBindOptions::default();
        channel
            .queue_bind("frontend.live.test".into(), exchange.into(), key.into(), options, FieldTable::default())
            .await
    };
    for key in ["order.*", "stock.*", "production.*", "replenishment.*", "factory.*"] {
        bind("jaego.events", key).await.unwrap();
    }
    refused(bind("jaego.events", "#").await.unwrap_err());
    refused(bind("jaego.dead-letters", "sales.factories").await.unwrap_err());
    for queue in ["mine", "sales.live.mine", "frontend-live-mine"] {
        refused(declare(queue).await.map(drop).unwrap_err());
    }
    for queue in ["sales.stock-received", "production.requests.dlq"] {
        let channel = connection.create_channel().await.unwrap();
        let options = BasicConsumeOptions::default();
        let consumed = channel.basic_consume(queue.into(), "test".into(), options, FieldTable::default()).await;
        refused(consumed.map(drop).unwrap_err());
    }
    for (exchange, key) in [("jaego.events", "order.confirmed"), ("", "sales.factories")] {
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(exchange.into(), key.into(), options, b"{}", BasicProperties::default()).await;
        refused(timeout(Duration::from_secs(120), sent.unwrap()).await.expect("an answer").unwrap_err());
    }
}

async fn refuses_unusable_urls_and_users(surroundings: &mut TestBroker, server: &RabbitServer) {
    let kept = surroundings.env.clone();
    for (url, expected) in [
        (surroundings.url("shop", "sales-secret"), "the user of sales-service must be sales, not shop"),
        (surroundings.url("sales", "sales-secret").replace("/jaego", "/other"), "its virtual host is other"),
        ("amqp://localhost/jaego".to_owned(), "must look like amqp://"),
    ] {
        surroundings.set("SALES_AMQP_URL", &url);
        let ran = surroundings.apply(&["--make-users"]).await.ends_with(2);
        assert!(ran.stderr.contains("SALES_AMQP_URL: ") && ran.stderr.contains(expected), "{}", ran.stderr);
    }
    surroundings.env.retain(|(name, _)| !name.ends_with("AMQP_URL"));
    let ran = surroundings.apply(&["--make-users"]).await.ends_with(2);
    assert!(ran.stderr.contains("--restock-url-file"), "{}", ran.stderr);
    surroundings.env = kept;

    // A user with a tag is not a service's user.
    server.ctl(&["set_user_tags", "sales", "administrator"]).await.unwrap();
    let ran = surroundings.apply(&["--make-users"]).await.ends_with(4);
    assert!(ran.stderr.contains("the user sales has the tags"), "{}", ran.stderr);
    server.ctl(&["set_user_tags", "sales"]).await.unwrap();
    let ran = surroundings.apply(&["--make-users", "--without-rights"]).await.ends_with(2);
    assert!(ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
}

/// A user without administrator rights makes what is missing, and leaves rights as they are.
async fn applies_without_administrator_rights(surroundings: &mut TestBroker, server: &RabbitServer) {
    let broker = server.broker();
    server.ctl(&["add_user", "topology", "topology-secret"]).await.unwrap();
    server.ctl(&["set_user_tags", "topology", "management"]).await.unwrap();
    broker.set_permissions("jaego", "topology", ".*", ".*", ".*").await.unwrap();
    broker.set_permissions("jaego", "sales", "^$", "^$", "^$").await.unwrap();
    for queue in ["restock.factories", "sales.factories.dlq"] {
        broker.delete_queue("jaego", queue).await.unwrap();
    }
    surroundings.set("RABBITMQ_ADMIN_USER", "topology");
    surroundings.set("RABBITMQ_ADMIN_PASSWORD", "topology-secret");
    let ran = surroundings.apply(&["--without-rights"]).await.ends_with(0);
    for expected in
        ["set: queue restock.factories", "set: binding of sales.factories.dlq to jaego.dead-letters", "Applied"]
    {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let ran = surroundings.apply(&["--without-rights"]).await.ends_with(0);
    assert!(ran.stdout.contains("Nothing to do"), "{}", ran.stdout);
    surroundings.apply(&[]).await.ends_with(4);
    let (admin, password) = server.admin();
    surroundings.set("RABBITMQ_ADMIN_USER", admin);
    surroundings.set("RABBITMQ_ADMIN_PASSWORD", password);
    let ran = run(&["topology", "diff"], &surroundings.env).await.ends_with(5);
    assert!(ran.stdout.contains("different: rights of sales: write"), "{}", ran.stdout);
}
