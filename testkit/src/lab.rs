//! Databases and vhosts of one test on the shared servers, and waiting for effects.

use std::{
    fmt::Debug,
    future::Future,
    ops::Deref,
    time::{Duration, Instant},
};

use jaego_contracts::topology::Permissions;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{
    error::Result,
    provision::{self, Broker, DatabaseUrls},
    servers::{random_secret, shared::Lab},
};

const POLL: Duration = Duration::from_millis(20);

/// A database for one test, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    /// Name of the database and of the service's role.
    pub name: String,
    urls: DatabaseUrls,
    /// Connects to this database as the administrator.
    pub admin_url: String,
}

/// A vhost for one test, deleted with this value.
#[derive(Debug)]
pub struct TestVhost {
    pub name: String,
    /// AMQP URL of the administrator for this vhost.
    pub admin_url: String,
    broker: Broker,
    lab: Lab,
}

impl Lab {
    /// Creates an empty database with roles of its own.
    ///
    /// # Panics
    /// When PostgreSQL refuses.
    #[expect(clippy::panic, reason = "test support: a broken lab must stop the test with a sentence")]
    pub async fn database(&self, service: &str) -> TestDatabase {
        self.try_database(service).await.unwrap_or_else(|error| panic!("no test database: {error}"))
    }

    async fn try_database(&self, service: &str) -> Result<TestDatabase> {
        let name = format!("t_{}_{service}", &random_secret()[..12]);
        let (admin_url, passwords) = (self.postgres_admin_url(), [random_secret(), random_secret()]);
        let urls = provision::create_database(admin_url, &name, &name, &passwords[0], &passwords[1]).await?;
        let admin_url = provision::url_of(admin_url, &name, None)?;
        Ok(TestDatabase { name, urls, admin_url })
    }

    /// Creates an empty vhost.
    ///
    /// # Panics
    /// When RabbitMQ refuses.
    #[expect(clippy::panic, reason = "test support: a broken lab must stop the test with a sentence")]
    pub async fn vhost(&self) -> TestVhost {
        self.try_vhost().await.unwrap_or_else(|error| panic!("no test vhost: {error}"))
    }

    async fn try_vhost(&self) -> Result<TestVhost> {
        let name = format!("t_{}", &random_secret()[..12]);
        let broker = self.broker();
        broker.create_vhost(&name).await?;
        let admin_url = self.amqp_admin_url(&name);
        let vhost = TestVhost { name, admin_url, broker, lab: self.clone() };
        let (admin, _) = self.amqp_admin();
        vhost.broker.set_permissions(&vhost.name, admin, ".*", ".*", ".*").await?;
        Ok(vhost)
    }
}

impl TestVhost {
    /// The management API, as the administrator.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Creates exchanges, queues and bindings.
    pub async fn import(&self, definitions: &Value) -> Result<()> {
        self.broker.import_definitions(&self.name, definitions).await
    }

    /// Creates a user of this vhost and returns its AMQP URL. Its real name is `<vhost>_<name>`, because
    /// users belong to the whole broker: see [`Self::user_name`].
    pub async fn user(&self, name: &str, rights: &Permissions) -> Result<String> {
        let (user, password) = (self.user_name(name), random_secret());
        self.broker.put_service(&self.name, &user, &password, rights).await?;
        Ok(self.lab.amqp_url(&user, &password, &self.name))
    }

    /// The real name of a user of this vhost.
    pub fn user_name(&self, name: &str) -> String {
        format!("{}_{name}", self.name)
    }

    /// Number of messages that wait in a queue now.
    pub async fn depth(&self, queue: &str) -> Result<u32> {
        provision::amqp_depth(&self.admin_url, queue).await
    }

    /// Suspends the process of a quorum queue inside RabbitMQ: the queue is there and answers nothing. It goes on
    /// after [`Self::resume`], or after five minutes, so that a test that fails hinders no other.
    pub async fn suspend(&self, queue: &str) -> Result<()> {
        let (vhost, name) = (&self.name, suspender(&self.name, queue));
        let code = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{vhost}\">>, queue, <<\"{queue}\">>)), \
             {{Leader, _}} = amqqueue:get_pid(Q), Caller = self(), \
             spawn(fun() -> register('{name}', self()), erlang:suspend_process(whereis(Leader)), Caller ! suspended, \
             receive resume -> ok after 300000 -> ok end end), \
             receive suspended -> ok after 30000 -> error(late) end."
        );
        self.lab.rabbitmqctl(&["eval", &code]).await
    }

    /// Ends [`Self::suspend`].
    pub async fn resume(&self, queue: &str) -> Result<()> {
        // A suspended process goes on when the one that suspended it ends.
        let code = format!("'{}' ! resume.", suspender(&self.name, queue));
        self.lab.rabbitmqctl(&["eval", &code]).await
    }

    /// Deletes a queue and declares it again at once, as in `definitions`.
    pub async fn renew(&self, queue: &str, definitions: &Value) -> Result<()> {
        let all = definitions["queues"].as_array().into_iter().flatten();
        let arguments = all.clone().find(|defined| defined["name"] == queue).map(|defined| &defined["arguments"]);
        provision::amqp_renew(&self.admin_url, queue, arguments.unwrap_or(&Value::Null)).await?;
        self.import(definitions).await
    }
}

/// Name of the Erlang process that suspends a queue.
fn suspender(vhost: &str, queue: &str) -> String {
    format!("testkit suspends {vhost} {queue}")
}

impl Deref for TestDatabase {
    type Target = DatabaseUrls;

    fn deref(&self) -> &DatabaseUrls {
        &self.urls
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin_url, name) = (self.admin_url.clone(), self.name.clone());
        finally(async move {
            if let Ok(url) = provision::url_of(&admin_url, "postgres", None) {
                provision::drop_database(&url, &name, &name).await.ok();
            }
        });
    }
}

impl Drop for TestVhost {
    fn drop(&mut self) {
        let (lab, name) = (self.lab.clone(), self.name.clone());
        finally(async move {
            // `self.broker` cannot be used: this task runs on another runtime.
            lab.broker().delete_vhost(&name).await.ok();
        });
    }
}

/// Runs cleanup from a destructor, best effort, on its own thread and runtime.
fn finally(work: impl Future<Output = ()> + Send + 'static) {
    let thread = std::thread::spawn(|| {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
            runtime.block_on(async { timeout(Duration::from_secs(10), work).await }).ok();
        }
    });
    thread.join().ok();
}

/// Result of a probe of [`wait_until`]: a value, or what it saw instead.
pub trait Observation {
    /// The awaited value.
    type Value;

    /// The value, or a description of what was seen instead.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl<T> Observation for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Debug> Observation for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Returns true when a test has its process to itself, as tests of metrics or threads require.
/// `cargo nextest` gives each test its own process; under `cargo test` this runs the test of that name in a
/// new process, and returns false when it passed.
///
/// # Panics
/// When the test fails there, or cannot be run.
#[expect(clippy::panic, reason = "test support: the test has failed, in another process")]
pub async fn is_alone(test: &str) -> bool {
    const ALONE: &str = "TESTKIT_ALONE";
    if ["NEXTEST", ALONE].iter().any(|name| std::env::var_os(name).is_some()) {
        return true;
    }
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("this program has no path: {error}"));
    let mut alone = tokio::process::Command::new(program);
    alone.args(["--exact", test, "--nocapture"]).env(ALONE, "1").kill_on_drop(true);
    let output = alone.output().await.unwrap_or_else(|error| panic!("cannot run {test} alone: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    // A name that matches no test exits successfully, too.
    let passed = output.status.success() && said.contains("1 passed");
    assert!(passed, "{test}, alone: {}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    false
}

/// Waits for an effect: calls `probe` every 20 ms until it returns `Some` or `Ok`. An `Err` describes what
/// was seen instead, and is shown when time is up.
///
/// # Panics
/// With `what` and the last observation, when `timeout` has passed.
#[expect(clippy::panic, reason = "test support: an effect that never comes must stop the test with a sentence")]
pub async fn wait_until<P, F, O>(what: &str, timeout: Duration, mut probe: P) -> O::Value
where
    P: FnMut() -> F,
    F: Future<Output = O>,
    O: Observation,
{
    let deadline = Instant::now() + timeout;
    let (mut last, mut probes) = ("nothing".to_owned(), 0_u32);
    loop {
        probes += 1;
        let begun = Instant::now();
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left.max(POLL), probe()).await.map(Observation::outcome).ok() {
            Some(Ok(value)) => return value,
            Some(Err(seen)) => last = seen,
            None => {
                let took = begun.elapsed();
                panic!("not within {timeout:?}: {what}; probe {probes} did not end in {took:?}, before it: {last}")
            }
        }
        assert!(Instant::now() < deadline, "not within {timeout:?}: {what}; last of {probes} probes: {last}");
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_until_the_effect_is_there() {
        let mut asked = 0;
        let value = wait_until("the third time", Duration::from_secs(5), || {
            asked += 1;
            let asked = asked;
            async move { (asked == 3).then_some(asked) }
        })
        .await;
        assert_eq!(value, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "not within 50ms: stock of ten; last of")]
    async fn reports_the_last_state() {
        let probe = async || Err::<(), _>("only 7");
        wait_until("stock of ten", Duration::from_millis(50), probe).await;
    }

    #[tokio::test]
    #[should_panic(expected = "probe 1 did not end in")]
    async fn a_probe_that_hangs_does_not_hang_the_test() {
        wait_until("anything", Duration::from_millis(50), std::future::pending::<Option<()>>).await;
    }
}
