//! A stack for one test: started by the code of `cargo xtask up`, with the same demo data. The tests of
//! jaegoctl use it, too.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::wait_until;
use tokio::{
    signal::unix::{Signal, SignalKind},
    sync::OnceCell,
};
use xtask::{
    api::{Answer, Api},
    demo::{self, FIRST_SKU},
    leftovers,
    packages::ServerPrograms,
    programs::Programs,
    progress::Progress,
    stack::{Options, ServerChoice, Service, Stack},
};

/// For effects that go through several services.
pub(crate) const SOON: Duration = Duration::from_secs(150);

/// How long a stage of the factory takes here.
const STAGE_MS: u64 = 50;

/// Our programs, up to date. A run of the whole workspace's tests has just built them; a run of these
/// tests alone has not.
pub(crate) async fn programs() -> Programs {
    static CURRENT: OnceCell<Programs> = OnceCell::const_new();
    let current = CURRENT.get_or_init(async || match Programs::in_folder(&programs_dir()) {
        Ok(programs) if programs.are_fresh() => programs,
        _ => Programs::build(false, &[], &Progress::silent()).await.expect("the services can be built"),
    });
    current.await.clone()
}

/// Where cargo puts all of the workspace's programs: above the folder of its tests.
pub(crate) fn programs_dir() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    test.parent().and_then(Path::parent).expect("a folder").to_owned()
}

/// A folder whose processes do not outlive this one, and whose server data go with it.
pub(crate) struct Folder {
    dir: TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What the programs of a failed test have said; their files go with the folder.
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

/// What private servers keep may be elsewhere.
fn wipe_servers(dir: &Path) {
    for server in ["postgres", "rabbitmq"] {
        testkit::servers::wipe(&dir.join(server)).ok();
    }
}

/// Everything runs, and the shop is open. Fields end in this order.
pub(crate) struct World {
    pub(crate) stack: Stack,
    _folder: Folder,
}

impl World {
    /// With PostgreSQL and RabbitMQ of its own, as `up` has them.
    pub(crate) async fn private() -> Self {
        Self::private_with(Vec::new()).await
    }

    /// The same with some settings.
    pub(crate) async fn private_with(settings: Vec<(Service, &'static str, String)>) -> Self {
        let servers = ServerPrograms::find().expect("PostgreSQL and RabbitMQ are installed");
        Self::start(ServerChoice::Private(servers, &[]), settings).await
    }

    /// On the servers that all tests share.
    pub(crate) async fn shared(settings: Vec<(Service, &'static str, String)>) -> Self {
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

    /// Ends everything in order; a service that has to be killed is a failure.
    pub(crate) async fn stop(mut self) {
        self.stack.stop(&Progress::silent()).await.expect("an orderly end");
    }

    /// A service's API, as the operator.
    pub(crate) fn api(&self, service: Service) -> Api {
        Api::new(&self.stack.urls(service).api).with_token(self.stack.operator_token())
    }

    /// The factory simulator.
    pub(crate) fn factory(&self) -> Api {
        Api::new(&self.stack.factory_url())
    }

    /// Orders one, as a shopper.
    pub(crate) async fn order_one(&self, traceparent: &str) -> Answer {
        let body = json!({ "lines": [{ "sku": FIRST_SKU, "quantity": 1 }] });
        let shopper = Api::new(&self.stack.urls(Service::Sales).public);
        shopper.post("/api/v1/orders", &[("traceparent", traceparent)], &body).await.expect("an answer to an order")
    }

    /// Sells all three.
    pub(crate) async fn sell_out(&self) {
        for number in 1..=3 {
            let answer = self.order_one(&traceparent(number)).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
    }

    /// The figures of the product.
    pub(crate) async fn stock(&self) -> Value {
        let path = format!("/api/v1/stock/{FIRST_SKU}");
        self.api(Service::Sales).get(&path).await.unwrap().ok("look at the stock").unwrap()
    }

    pub(crate) async fn on_hand(&self) -> i64 {
        self.stock().await["on_hand"].as_i64().expect("a number")
    }

    /// Waits until so many are on hand.
    pub(crate) async fn wait_on_hand(&self, wanted: i64) {
        wait_until(&format!("{wanted} on hand"), SOON, || async {
            let stock = self.stock().await;
            if stock["on_hand"] == wanted { Ok(()) } else { Err(stock.to_string()) }
        })
        .await;
    }

    /// A list of an API, whole.
    pub(crate) async fn items(&self, api: &Api, path: &str) -> Vec<Value> {
        let body = api.get(path).await.unwrap().ok(path).unwrap();
        body["items"].as_array().unwrap_or_else(|| panic!("{path} has items: {body}")).clone()
    }

    /// What the Factory was asked.
    pub(crate) async fn factory_requests(&self) -> Vec<Value> {
        self.items(&self.factory(), "/sim/requests").await
    }

    /// What the Factory sent.
    pub(crate) async fn factory_callbacks(&self) -> Vec<Value> {
        self.items(&self.factory(), "/sim/callbacks").await
    }

    /// Waits for the answer to the Factory's callback number `index`, and answers it.
    pub(crate) async fn wait_callback(&self, index: usize) -> Value {
        wait_until("an answer to the callback", SOON, || async {
            let callbacks = self.factory_callbacks().await;
            let answered = callbacks.get(index).filter(|callback| !callback["status"].is_null());
            answered.cloned().ok_or_else(|| format!("{callbacks:?}"))
        })
        .await
    }

    /// Production requests of the product.
    pub(crate) async fn production_requests(&self) -> Vec<Value> {
        let path = format!("/api/v1/production-requests?sku={FIRST_SKU}");
        self.items(&self.api(Service::Production), &path).await
    }

    /// Waits until the one production request has this status, and answers it.
    pub(crate) async fn wait_production_request(&self, status: &str) -> Value {
        wait_until(&format!("a production request that is {status}"), SOON, || async {
            let requests = self.production_requests().await;
            match requests.as_slice() {
                [request] if request["status"] == status => Ok(request.clone()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Every receipt is in the ledger once: what came is what was asked for, and nothing is on its
    /// way any more.
    pub(crate) async fn assert_received_once(&self, quantity: i64) {
        let receipts = self.items(&self.api(Service::Restock), "/api/v1/receipts").await;
        assert_eq!(receipts.len(), 1, "{receipts:?}");
        assert_eq!(receipts[0]["quantity"], quantity);
        self.wait_queues_empty().await;
        let path = format!("/api/v1/stock/{FIRST_SKU}/movements");
        let movements = self.items(&self.api(Service::Sales), &path).await;
        let raised = movements.iter().filter(|movement| movement["delta"] == quantity).count();
        assert_eq!(raised, 1, "{movements:?}");
    }

    /// No event waits in an outbox, no message in a queue; no dead letter anywhere.
    pub(crate) async fn wait_queues_empty(&self) {
        for service in Service::ALL {
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
        for service in Service::ALL {
            let dead_letters: i64 = self.sql(service, "SELECT count(*) FROM dead_letters").await;
            assert_eq!(dead_letters, 0, "dead letters of {service:?}");
        }
    }

    /// One value from a service's database.
    pub(crate) async fn sql<T>(&self, service: Service, query: &str) -> T
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let url = self.stack.database_url(service).unwrap();
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.query_one(query, &[]).await.unwrap().get(0)
    }
}

/// A trace of our own, told by its number.
pub(crate) fn traceparent(number: u8) -> String {
    format!("00-{}-00000000000000{number:02x}-01", trace_id(number))
}

pub(crate) fn trace_id(number: u8) -> String {
    format!("5ea1ed0000000000000000000000{number:04x}")
}
