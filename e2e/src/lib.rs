//! A stack for one test, started by the code of `cargo xtask up` and with the same demo data. The tests of jaegoctl
//! use it, too.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use localstack::api::{Answer, Api};
use localstack::demo::FIRST_SKU;
use localstack::packages::ServerPrograms;
use localstack::programs::Programs;
use localstack::progress::Progress;
use localstack::stack::{Options, ServerChoice, Service, Stack};
use localstack::{demo, leftovers};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::harness::connect;
use testkit::wait_until;
use tokio::{
    signal::unix::{Signal, SignalKind},
    sync::OnceCell,
};

/// Time limit for effects that pass through several services.
pub const SOON: Duration = Duration::from_secs(150);

/// Duration of each of the factory's stages.
const STAGE_MS: u64 = 50;

/// Up-to-date programs. A test run of the whole workspace has just built them; a run of these tests alone has not.
pub async fn programs() -> Programs {
    static CURRENT: OnceCell<Programs> = OnceCell::const_new();
    let current = CURRENT.get_or_init(async || match Programs::in_folder(&programs_dir()) {
        Ok(programs) if programs.are_fresh() => programs,
        _ => Programs::build(false, &[], &Progress::silent()).await.expect("the services can be built"),
    });
    current.await.clone()
}

/// The folder in which cargo puts the workspace's programs, above the folder of the tests.
pub fn programs_dir() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    test.parent().and_then(Path::parent).expect("a folder").to_owned()
}

/// A temporary folder. Its processes do not outlive this one, and its servers' data is deleted with it.
pub struct Folder {
    dir: TempDir,
}

impl Folder {
    #[expect(clippy::new_without_default, reason = "a folder on the disk is no default value")]
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let path = dir.path().to_owned();
        tokio::spawn(async move {
            let mut terminate = signal(SignalKind::terminate());
            let mut interrupt = signal(SignalKind::interrupt());
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            for dir in [path.join("dev"), path.clone()] {
                leftovers::kill(&dir).await;
                wipe_servers(&dir);
            }
            std::fs::remove_dir_all(&path).ok();
            end();
        });
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Prints the logs of a failed test, because the files are deleted with the folder.
    #[expect(clippy::print_stderr, reason = "shown by the test runner")]
    fn show_logs(&self) {
        let folders = ["logs", "dev/logs"].map(|name| self.path().join(name));
        for entry in folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().filter_map(Result::ok) {
            eprintln!("== {}\n{}", entry.path().display(), testkit::process::tail(entry.path(), 60));
        }
    }
}

fn signal(kind: SignalKind) -> Signal {
    tokio::signal::unix::signal(kind).expect("signals can be listened for")
}

#[expect(clippy::disallowed_methods, reason = "a test that is ended from outside has nothing else to lose")]
fn end() {
    std::process::exit(130);
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("JAEGO_TEST_SHOW_LOGS").is_some() {
            self.show_logs();
        }
        wipe_servers(self.path());
    }
}

/// The data of private servers may be stored elsewhere.
fn wipe_servers(dir: &Path) {
    for server in ["postgres", "rabbitmq"] {
        testkit::servers::wipe(&dir.join(server)).ok();
    }
}

/// A running stack whose shop is open. Fields are dropped in this order.
pub struct World {
    pub stack: Stack,
    _folder: Folder,
}

impl World {
    /// A stack with its own PostgreSQL and RabbitMQ, as started by `up`.
    pub async fn private() -> Self {
        Self::private_with(Vec::new()).await
    }

    /// The same with additional settings.
    pub async fn private_with(settings: Vec<(Service, &'static str, String)>) -> Self {
        let servers = ServerPrograms::find().expect("PostgreSQL and RabbitMQ are installed");
        Self::start(ServerChoice::Private(servers, &[]), settings).await
    }

    /// A stack on the servers that all tests share.
    pub async fn shared(settings: Vec<(Service, &'static str, String)>) -> Self {
        Self::start(ServerChoice::Shared, settings).await
    }

    async fn start(servers: ServerChoice, settings: Vec<(Service, &'static str, String)>) -> Self {
        let folder = Folder::new();
        let dir: PathBuf = folder.path().into();
        let options = Options { dir, programs: programs().await, servers, stage_ms: STAGE_MS, settings };
        let mut stack = Stack::new(options).expect("a stack");
        stack.start(&Progress::silent()).await.unwrap_or_else(|error| panic!("{error:#}"));
        demo::fill(&stack).await.expect("the demo data");
        Self { stack, _folder: folder }
    }

    /// Stops everything in order. Fails if a service has to be killed.
    pub async fn stop(mut self) {
        self.stack.stop(&Progress::silent()).await.expect("an orderly end");
    }

    /// Client of a service's API, as the operator.
    pub fn api(&self, service: Service) -> Api {
        Api::new(&self.stack.urls(service).api).with_token(self.stack.operator_token())
    }

    /// Client of the factory simulator.
    pub fn factory(&self) -> Api {
        Api::new(&self.stack.factory_url())
    }

    /// Orders one unit as a shopper, who repeats the order under the same key as long as the answer asks for that.
    pub async fn order_one(&self, traceparent: &str) -> Answer {
        let body = json!({ "lines": [{ "sku": FIRST_SKU, "quantity": 1 }] });
        let shopper = Api::new(&self.stack.urls(Service::Sales).public);
        let headers = [("traceparent", traceparent), ("idempotency-key", traceparent)];
        wait_until("an order that is decided", SOON, async || {
            let answer = shopper.post("/api/v1/orders", &headers, &body).await.expect("an answer to an order");
            if answer.status == 503 { Err(answer.body) } else { Ok(answer) }
        })
        .await
    }

    /// Sells all three units on hand.
    pub async fn sell_out(&self) {
        for number in 1..=3 {
            let answer = self.order_one(&traceparent(number)).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
    }

    /// Stock figures of the product.
    pub async fn stock(&self) -> Value {
        let path = format!("/api/v1/stock/{FIRST_SKU}");
        self.api(Service::Sales).get(&path).await.unwrap().ok("look at the stock").unwrap()
    }

    pub async fn on_hand(&self) -> i64 {
        self.stock().await["on_hand"].as_i64().expect("a number")
    }

    /// Waits until `wanted` units are on hand.
    pub async fn wait_on_hand(&self, wanted: i64) {
        wait_until(&format!("{wanted} on hand"), SOON, || async {
            let stock = self.stock().await;
            if stock["on_hand"] == wanted { Ok(()) } else { Err(stock.to_string()) }
        })
        .await;
    }

    /// Items of a list.
    pub async fn items(&self, api: &Api, path: &str) -> Vec<Value> {
        let body = api.get(path).await.unwrap().ok(path).unwrap();
        body["items"].as_array().unwrap_or_else(|| panic!("{path} has items: {body}")).clone()
    }

    /// Requests that the factory received.
    pub async fn factory_requests(&self) -> Vec<Value> {
        self.items(&self.factory(), "/sim/requests").await
    }

    /// Callbacks that the factory sent.
    pub async fn factory_callbacks(&self) -> Vec<Value> {
        self.items(&self.factory(), "/sim/callbacks").await
    }

    /// Waits for the answer to the factory's callback number `index`, and returns it.
    pub async fn wait_callback(&self, index: usize) -> Value {
        wait_until("an answer to the callback", SOON, || async {
            let callbacks = self.factory_callbacks().await;
            let answered = callbacks.get(index).filter(|callback| !callback["status"].is_null());
            answered.cloned().ok_or_else(|| format!("{callbacks:?}"))
        })
        .await
    }

    /// Production requests for the product.
    pub async fn production_requests(&self) -> Vec<Value> {
        let path = format!("/api/v1/production-requests?sku={FIRST_SKU}");
        self.items(&self.api(Service::Production), &path).await
    }

    /// Waits until the only production request has this status, and returns it.
    pub async fn wait_production_request(&self, status: &str) -> Value {
        wait_until(&format!("a production request that is {status}"), SOON, || async {
            let requests = self.production_requests().await;
            match requests.as_slice() {
                [request] if request["status"] == status => Ok(request.clone()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Asserts that the goods were received and booked once, in this quantity, and that nothing is in flight any
    /// more.
    pub async fn assert_received_once(&self, quantity: i64) {
        let receipts = self.items(&self.api(Service::Restock), "/api/v1/receipts").await;
        assert_eq!(receipts.len(), 1, "{receipts:?}");
        assert_eq!(receipts[0]["quantity"], quantity);
        self.wait_queues_empty().await;
        let path = format!("/api/v1/stock/{FIRST_SKU}/movements");
        let movements = self.items(&self.api(Service::Sales), &path).await;
        let raised = movements.iter().filter(|movement| movement["delta"] == quantity).count();
        assert_eq!(raised, 1, "{movements:?}");
    }

    /// Waits until no event is in an outbox and no message in a queue. Asserts that there are no dead letters.
    pub async fn wait_queues_empty(&self) {
        for service in Service::MESSAGING {
            let query = "SELECT count(*) FROM outbox";
            wait_until(&format!("an empty outbox of {service}"), SOON, || async {
                let waiting: i64 = self.sql(service, query).await;
                if waiting == 0 { Ok(()) } else { Err(waiting) }
            })
            .await;
        }
        for queue in jaego_contracts::topology::QUEUES {
            wait_until(&format!("an empty queue {}", queue.name), SOON, || async {
                match self.stack.depth(queue.name).await {
                    Ok(0) => Ok(()),
                    other => Err(other),
                }
            })
            .await;
            let on_their_way = self.stack.depth(&queue.dead_letter_queue()).await.unwrap();
            assert_eq!(on_their_way, 0, "dead letters of {}", queue.name);
        }
        for service in Service::MESSAGING {
            let dead_letters: i64 = self.sql(service, "SELECT count(*) FROM dead_letters").await;
            assert_eq!(dead_letters, 0, "dead letters of {service:?}");
        }
    }

    /// Reads a single value from a service's database.
    pub async fn sql<T>(&self, service: Service, query: &str) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let url = self.stack.database_url(service).unwrap();
        let client = connect(&url).await;
        client.query_one(query, &[]).await.unwrap().get(0)
    }
}

/// A `traceparent` with a fixed trace for each number.
pub fn traceparent(number: u8) -> String {
    format!("00-{}-00000000000000{number:02x}-01", trace_id(number))
}

pub fn trace_id(number: u8) -> String {
    format!("5ea1ed0000000000000000000000{number:04x}")
}

impl World {
    /// Waits until nothing is in flight anywhere.
    pub async fn wait_quiet(&self) {
        let open = "SELECT count(*) FROM replenishments WHERE status NOT IN ('complete', 'closed_short')";
        wait_until("every production request to be answered with goods", SOON, || async {
            let open: i64 = self.sql(Service::Sales, open).await;
            if open == 0 { Ok(()) } else { Err(open) }
        })
        .await;
        for service in Service::MESSAGING {
            wait_until(&format!("no message of {service} to wait for a retry"), SOON, || async {
                let retries: i64 = self.sql(service, "SELECT count(*) FROM message_retries").await;
                if retries == 0 { Ok(()) } else { Err(retries) }
            })
            .await;
        }
        self.wait_queues_empty().await;
        for service in [Service::Sales, Service::Production] {
            let (theirs, table) = match service {
                Service::Sales => ("receipts_applied", "receipts"),
                _ => ("receipts", "receipts"),
            };
            let booked: i64 = self.sql(Service::Restock, &format!("SELECT count(*) FROM {table}")).await;
            wait_until(&format!("{service} to have every receipt"), SOON, || async {
                let seen: i64 = self.sql(service, &format!("SELECT count(*) FROM {theirs}")).await;
                if seen == booked { Ok(()) } else { Err(format!("{seen} of {booked}")) }
            })
            .await;
        }
    }

    /// Status code and body of a service's `/readyz`.
    pub async fn readiness(&self, service: Service) -> (u16, Value) {
        let answer = Api::new(&self.stack.urls(service).admin).get("/readyz").await.unwrap();
        (answer.status.as_u16(), answer.body)
    }

    /// Waits until all services are ready and report `status`. Returns how long it took.
    pub async fn all_say(&self, status: &str) -> Duration {
        let begun = Instant::now();
        for service in Service::MESSAGING {
            wait_until(&format!("{service} to be {status}"), SOON, || async {
                let (code, body) = self.readiness(service).await;
                assert_eq!(code, 200, "without a broker, too, {service} is ready: {body}");
                if body["status"] == status { Ok(()) } else { Err(body.to_string()) }
            })
            .await;
        }
        begun.elapsed()
    }
}
