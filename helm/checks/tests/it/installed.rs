//! Runs what the chart renders: its files, environment and arguments are given to the real programs, its Jobs create
//! roles, databases, users and queues on fresh servers, and its test pod runs the smoke test. There is no cluster here,
//! so factories may be local, and three things are translated: a Service's name and port become a local address, a
//! port that a container listens on becomes a free one, and `/etc/jaego` becomes a folder for each pod.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use localstack::packages::ServerPrograms;
use serde_json::{Value, json};
use testkit::{
    process::{Process, Spec, tail},
    servers::{PostgresOptions, PostgresServer, RabbitOptions, RabbitServer, choose_ports},
    wait_until,
};
use tokio_postgres::NoTls;
use url::Url;

use super::{
    engine::{Engine, INSTALL, Release},
    objects::{Pod, Rendered, decoded, labels, list, texts},
    values::{evaluation, merged},
};
use e2e::{Folder, programs, programs_dir};

const SOON: Duration = Duration::from_secs(90);
const SERVICES: [&str; 4] = ["sales", "production", "restock", "access"];

/// The servers that the chart includes, started as their images start them: with the administrators in its Secrets.
struct Servers {
    postgres: PostgresServer,
    rabbit: RabbitServer,
}

impl Servers {
    async fn start(dir: &Path, release: &Rendered) -> Self {
        let found = ServerPrograms::find().expect("PostgreSQL and RabbitMQ are installed");
        let (postgres_dir, rabbit_dir) = (dir.join("postgres"), dir.join("rabbitmq"));
        let (postgres_options, rabbit_options) = (PostgresOptions::default(), RabbitOptions::default());
        let (postgres, rabbit) = tokio::try_join!(
            PostgresServer::start(&found.postgres, &postgres_dir, &postgres_options),
            RabbitServer::start(&found.rabbitmq, &rabbit_dir, &rabbit_options),
        )
        .unwrap();
        let password = &decoded(release.get("Secret", "postgresql"))["password"];
        let (client, connection) = tokio_postgres::connect(&postgres.admin_url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let known = client.query_opt("SELECT 1 FROM pg_roles WHERE rolname = 'postgres'", &[]).await.unwrap();
        let verb = if known.is_some() { "ALTER" } else { "CREATE" };
        // The password has only letters and digits, so it needs no quoting.
        let role = format!("{verb} ROLE postgres SUPERUSER LOGIN PASSWORD '{password}'");
        client.batch_execute(&role).await.unwrap();
        let broker = decoded(release.get("Secret", "rabbitmq"));
        rabbit.ctl(&["add_user", &broker["username"], &broker["password"]]).await.unwrap();
        rabbit.ctl(&["set_user_tags", &broker["username"], "administrator"]).await.unwrap();
        Self { postgres, rabbit }
    }
}

/// Local counterparts of addresses and ports in a cluster.
struct Places {
    /// Such as `jaego-sales:8080` -> `127.0.0.1:40001`.
    addresses: BTreeMap<String, String>,
    /// The container's port -> the local port.
    ports: BTreeMap<String, u16>,
}

impl Places {
    fn of(release: &Rendered, servers: &Servers) -> Self {
        let mut places = Self { addresses: BTreeMap::new(), ports: BTreeMap::new() };
        let management = Url::parse(&servers.rabbit.management_url()).unwrap();
        for service in release.of_kind("Service") {
            let name = service["metadata"]["name"].as_str().unwrap();
            for port in list(&service["spec"]["ports"]) {
                let number = port["port"].to_string();
                let here = match number.as_str() {
                    "5432" => servers.postgres.port(),
                    "5672" => servers.rabbit.amqp_port(),
                    "15672" => management.port().unwrap(),
                    _ => *places.ports.entry(number.clone()).or_insert_with(free_port),
                };
                places.addresses.insert(format!("{name}:{number}"), format!("127.0.0.1:{here}"));
            }
        }
        for admin in [9080, 9180, 9280, 9380, 9480] {
            places.ports.insert(admin.to_string(), free_port());
        }
        places
    }

    /// Translates the text of a file, variable or argument. `root` replaces `/etc/jaego`.
    fn translate(&self, text: &str, root: &Path) -> String {
        let mut text = text.replace("/etc/jaego", root.to_str().unwrap());
        for (there, here) in &self.addresses {
            text = text.replace(there, here);
        }
        for (there, here) in &self.ports {
            text = text.replace(&format!("port = {there}\n"), &format!("port = {here}\n"));
            text = text.replace(&format!("0.0.0.0:{there}"), &format!("127.0.0.1:{here}"));
        }
        text
    }
}

fn free_port() -> u16 {
    let [port] = choose_ports([0]).unwrap();
    port
}

/// A release as its pods see it.
struct Installed<'a> {
    release: &'a Rendered,
    places: &'a Places,
    dir: &'a Path,
}

impl Installed<'_> {
    fn source(&self, kind: &str, name: &Value) -> BTreeMap<String, String> {
        let found = self.release.of_kind(kind).into_iter().find(|one| one["metadata"]["name"] == *name);
        let found = found.unwrap_or_else(|| panic!("there is no {kind} {name}"));
        if kind == "Secret" { decoded(found) } else { labels(&found["data"]) }
    }

    /// Files of a volume by name: all of a ConfigMap or Secret, or the listed items.
    fn files(&self, volume: &Value) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for source in list(&volume["projected"]["sources"]).iter().chain([volume]) {
            for (field, kind) in [("secret", "Secret"), ("configMap", "ConfigMap")] {
                let from = &source[field];
                let name = if from["name"].is_null() { &from["secretName"] } else { &from["name"] };
                if name.is_null() {
                    continue;
                }
                let data = self.source(kind, name);
                let picked = list(&from["items"]);
                for item in picked {
                    let (key, path) = (item["key"].as_str().unwrap(), item["path"].as_str().unwrap());
                    files.insert(path.to_owned(), data[key].clone());
                }
                if picked.is_empty() {
                    files.extend(data);
                }
            }
        }
        files
    }

    /// The program of a pod, with everything that the pod gives it and nothing else.
    fn program(&self, pod: &Pod<'_>) -> Spec {
        let [container] = pod.containers()[..] else { panic!("{} must have exactly one container", pod.owner) };
        let root = self.dir.join("pods").join(pod.owner.replace(' ', "-"));
        for mount in list(&container["volumeMounts"]) {
            let volume = list(&pod.spec["volumes"]).iter().find(|volume| volume["name"] == mount["name"]);
            let at =
                mount["mountPath"].as_str().unwrap().strip_prefix("/etc/jaego/").expect("mounted below /etc/jaego");
            for (name, text) in self.files(volume.expect("every mount names a volume of its pod")) {
                let path = root.join(at).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, self.places.translate(&text, &root)).unwrap();
            }
        }
        let image = container["image"].as_str().unwrap();
        let program = image.rsplit('/').next().and_then(|last| last.split(':').next()).unwrap();
        let program = programs_dir().join(program.strip_prefix("jaego-").expect("an image of ours"));
        let log = self.dir.join("logs").join(format!("{}.log", pod.owner.replace(' ', "-")));
        let mut spec = Spec::new(pod.owner.as_str(), program, log).clear_env();
        for variable in list(&container["env"]) {
            let from = &variable["valueFrom"]["secretKeyRef"];
            let value = match variable["value"].as_str() {
                Some(value) => value.to_owned(),
                None => self.source("Secret", &from["name"])[from["key"].as_str().unwrap()].clone(),
            };
            spec = spec.env(variable["name"].as_str().unwrap(), self.places.translate(&value, &root));
        }
        spec.args(texts(&container["args"]).into_iter().map(|arg| self.places.translate(arg, &root)))
    }

    fn start(&self, kind: &str) -> BTreeMap<String, Process> {
        let pods = self.release.pods();
        let own = pods.iter().filter(|pod| pod.owner.starts_with(&format!("{kind} ")));
        own.map(|pod| (pod.component.clone(), self.program(pod).spawn().unwrap())).collect()
    }

    /// Runs pods that end by themselves, all at once as a cluster does.
    async fn run(&self, kind: &str) {
        for (component, mut process) in self.start(kind) {
            let ended = process.wait_exit(SOON).await;
            let said = tail(process.log(), 40);
            assert!(ended.is_some_and(|status| status.success()), "{component}: {ended:?}\n{said}");
        }
    }

    /// Checks that the frontend works with the rights that the Jobs granted, and the chart's addresses and key.
    async fn assert_frontend_works(&self) {
        wait_until("the frontend receives events from the broker", SOON, async || {
            let (code, body) = self.readiness("frontend").await;
            if code == 200 && body["checks"]["broker-live"] == "ok" { Ok(()) } else { Err((code, body)) }
        })
        .await;
        let client = testkit::http::client(Duration::from_secs(20));
        let api = format!("http://{}", self.places.addresses["jaego-frontend:8480"]);
        let public = format!("http://{}", self.places.addresses["jaego-frontend:8481"]);
        let products = client.get(format!("{public}/sales/api/v1/products")).send().await.unwrap();
        assert_eq!(products.status(), 200);
        let token = &decoded(self.release.get("Secret", "operator-token"))["token"];
        let signing_in = client.post(format!("{api}/session")).header("sec-fetch-site", "same-origin");
        let signed_in = signing_in.json(&json!({ "token": token })).send().await.unwrap();
        assert_eq!(signed_in.status(), 200);
        let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        for path in [
            "/sales/api/v1/stock",
            "/production/api/v1/factories",
            "/restock/api/v1/receipts",
            "/access/api/v1/sessions",
        ] {
            let answer = client.get(format!("{api}{path}")).header("cookie", &cookie).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
        }
    }

    async fn readiness(&self, service: &str) -> (u16, Value) {
        let admin = match service {
            "sales" => "9080",
            "production" => "9180",
            "restock" => "9280",
            "access" => "9380",
            _ => "9480",
        };
        let url = format!("http://127.0.0.1:{}/readyz", self.places.ports[admin]);
        match testkit::http::client(Duration::from_secs(5)).get(url).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or_default()),
            Err(error) => (0, json!(error.to_string())),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_smoke_test_passes_on_what_the_chart_alone_installs() {
    let _current = programs().await;
    let folder = Folder::new();
    let dir: PathBuf = folder.path().into();
    let mut engine = Engine::start();
    // The test pod's factory is on this machine, not in a cluster's network.
    let values = merged(&evaluation(), &json!({ "production": { "factoryNetworks": ["127.0.0.0/8"] } }));
    let release = engine.render(&values);
    let servers = Servers::start(&dir, &release).await;
    let places = Places::of(&release, &servers);
    let installed = Installed { release: &release, places: &places, dir: &dir };

    // In a new cluster everything starts at once, and services wait for what the Jobs create.
    let mut services = installed.start("Deployment");
    for service in SERVICES {
        wait_until(&format!("{service} reports that it is not ready"), SOON, async || {
            let (code, body) = installed.readiness(service).await;
            if code == 503 { Ok(()) } else { Err((code, body)) }
        })
        .await;
    }
    installed.run("Job").await;
    for service in SERVICES {
        wait_until(&format!("{service} reports that it is ready"), SOON, async || {
            let (code, body) = installed.readiness(service).await;
            if code == 200 && body["status"] == "ready" { Ok(()) } else { Err((code, body)) }
        })
        .await;
    }

    installed.assert_frontend_works().await;

    // An order, a rejected order, a production request, the callback, new stock.
    installed.run("Pod").await;

    assert_databases_are_isolated(&release, &places).await;

    // An upgrade repeats the Jobs before anything else, while the pods run.
    engine.cluster(release.all());
    let upgrade = Release { revision: 2, upgrade: true, in_cluster: true, ..INSTALL };
    let upgraded = engine.try_render(&values, &upgrade).unwrap();
    Installed { release: &upgraded, places: &places, dir: &dir }.run("Job").await;
    Installed { release: &upgraded, places: &places, dir: &dir }.run("Pod").await;

    for (component, process) in &mut services {
        let spec = &release.get("Deployment", component)["spec"]["template"]["spec"];
        let grace = Duration::from_secs(spec["terminationGracePeriodSeconds"].as_u64().unwrap());
        let ended = process.terminate(grace).await.unwrap();
        assert!(ended.success(), "{component}: {ended}");
    }
    servers.rabbit.stop().await.unwrap();
    servers.postgres.stop().await.unwrap();
}

/// Asserts that a service's Secret gives access to that service's database, and to no other.
async fn assert_databases_are_isolated(release: &Rendered, places: &Places) {
    for service in SERVICES {
        for other in SERVICES {
            let url = &decoded(release.get("Secret", service))["database-url"];
            let url = places.translate(url, Path::new("/nowhere"));
            let mut url = Url::parse(&url).unwrap();
            url.set_path(&format!("jaego_{other}"));
            let reached = tokio_postgres::connect(url.as_str(), NoTls).await;
            match reached {
                Ok((_client, connection)) => {
                    tokio::spawn(connection);
                    assert_eq!(service, other, "{service} can connect to the database of {other}");
                }
                Err(error) => {
                    assert_ne!(service, other, "{service} cannot connect to its own database: {error}");
                    let code = error.code().map(tokio_postgres::error::SqlState::code);
                    assert_eq!(code, Some("42501"), "{service} to the database of {other}: {error}");
                }
            }
        }
    }
}
