//! `k8s/` and the production values fit together: every name that one of them uses is defined by the other or by the
//! steps of the README.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use url::Url;

use super::{
    engine::{Engine, NAMESPACE},
    network::Edges,
    objects::{Pod, Rendered, labels, list, name, texts},
    pods::breaks_restricted,
    steps::{World, followed},
    values::look,
};
use e2e::Folder;

/// Namespace of all of Jaego in k8s/. The tests render the chart for another one.
const HOME: &str = "jaego";

/// Connections of a pod outside its pool, such as those that it gave up and the server has not closed yet.
const GIVEN_UP: i64 = 6;

/// Pods of a Deployment that may still be terminating while all their replacements run.
const LEAVING: i64 = 1;

/// `superuser_reserved_connections`, the operator's own, the exporter, somebody with psql.
const OTHERS: i64 = 10;

/// All objects in k8s/.
pub(super) fn brought(engine: &mut Engine) -> Vec<Value> {
    let files = [
        "namespace",
        "default-deny",
        "gateway/gateway",
        "envoy-gateway/policies",
        "postgresql/cluster",
        "postgresql/network-policy",
        "rabbitmq/cluster",
        "rabbitmq/network-policy",
        "rabbitmq/users",
    ];
    files.iter().flat_map(|file| engine.read(&format!("k8s/{file}.yaml"))).collect()
}

pub(super) fn the<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects.iter().filter(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    let one = found.next().unwrap_or_else(|| panic!("k8s/ has no {kind} {name}"));
    assert!(found.next().is_none(), "k8s/ has more than one {kind} {name}");
    one
}

fn production(engine: &mut Engine) -> (Value, Rendered) {
    let values = engine.values("values-production.yaml");
    let rendered = engine.render(&values);
    (values, rendered)
}

#[test]
fn rabbitmq_pods_are_admitted() {
    let objects = brought(&mut Engine::start());
    let namespace = the(&objects, "Namespace", HOME);
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let cluster = the(&objects, "RabbitmqCluster", "jaego-rabbitmq");
    let spec = &cluster["spec"]["override"]["statefulSet"]["spec"]["template"]["spec"];
    // The operator's own containers have these names: containers with other names would be added to them.
    for (kind, container) in [("initContainers", "setup-container"), ("containers", "rabbitmq")] {
        assert_eq!(list(&spec[kind]).len(), 1, "{kind}");
        assert_eq!(spec[kind][0]["name"], container);
    }
    let pod = Pod { owner: name(cluster), component: String::new(), metadata: &Value::Null, spec };
    assert_eq!(breaks_restricted(&pod), [""; 0]);
}

#[test]
fn postgresql_has_room_for_every_pod() {
    let mut engine = Engine::start();
    let objects = brought(&mut engine);
    let (values, rendered) = production(&mut engine);
    let mut needed = OTHERS;
    for service in ["sales", "production", "restock", "access"] {
        let own = &values[service];
        let default = engine.read_one(&format!("{service}-service/config/default.toml"));
        let pool = look(own, "settings.database.pool_size").as_i64();
        let pool = pool.unwrap_or_else(|| default["database"]["pool_size"].as_i64().unwrap());
        let deployment = rendered.get("Deployment", service);
        let surge = deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"].as_i64().unwrap();
        let most = own["autoscaling"]["maxReplicas"].as_i64().unwrap();
        // The leading relay has one more connection, on which it listens for notifications of the other replicas.
        needed += (most + surge + LEAVING) * (pool + GIVEN_UP) + 1;
    }
    // A migration uses one connection.
    needed += i64::try_from(rendered.of_kind("Job").len()).unwrap();
    let cluster = &the(&objects, "Cluster", "jaego-postgresql")["spec"];
    needed +=
        list(&cluster["managed"]["roles"]).iter().filter_map(|role| role["connectionLimit"].as_i64()).sum::<i64>();
    let room: i64 = cluster["postgresql"]["parameters"]["max_connections"].as_str().unwrap().parse().unwrap();
    assert!(needed <= room, "{needed} connections at most, max_connections is {room}");
}

/// Collects namespace, name and key of every Secret entry that an object reads.
fn reads(object: &Value, found: &mut BTreeSet<(String, String, String)>) {
    let space = match object["metadata"]["namespace"].as_str() {
        Some(NAMESPACE) | None => HOME,
        Some(space) => space,
    };
    let mut add = |name: &Value, keys: &[&str]| {
        let name = name.as_str().unwrap();
        found.extend(keys.iter().map(|key| (space.to_owned(), name.to_owned(), (*key).to_owned())));
    };
    let (login, certificate) = (["username", "password"], ["tls.crt", "tls.key"]);
    let mut open = vec![object];
    while let Some(part) = open.pop() {
        for (field, inner) in part.as_object().into_iter().flatten() {
            match field.as_str() {
                "secretKeyRef" | "accessKeyId" | "secretAccessKey" => add(&inner["name"], &key_of(inner)),
                "secret" => {
                    let name = if inner["name"].is_null() { &inner["secretName"] } else { &inner["name"] };
                    let keys: Vec<&str> = list(&inner["items"]).iter().flat_map(key_of).collect();
                    assert!(!keys.is_empty(), "{name} is mounted whole: list the items that are needed");
                    add(name, &keys);
                }
                "secretTargetRef" => {
                    for from in list(inner) {
                        add(&from["name"], &key_of(from));
                    }
                }
                "passwordSecret" | "importCredentialsSecret" => add(&inner["name"], &login),
                "serverTLSSecret" => add(inner, &certificate),
                "serverCASecret" | "caSecretName" => add(inner, &["ca.crt"]),
                "tls" if inner["secretName"].is_string() => add(&inner["secretName"], &certificate),
                "certificateRefs" => {
                    for reference in list(inner) {
                        add(&reference["name"], &certificate);
                    }
                }
                _ => {}
            }
            open.push(inner);
        }
        open.extend(list(part));
    }
}

fn key_of(reference: &Value) -> [&str; 1] {
    [reference["key"].as_str().unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_makes_every_secret_that_is_read_and_no_other() {
    let folder = Folder::new();
    let world = followed(folder.path()).await;
    let mut engine = Engine::start();
    let (_, rendered) = production(&mut engine);
    let mut read = BTreeSet::new();
    for object in brought(&mut engine).iter().chain(rendered.all()) {
        reads(object, &mut read);
    }
    let mut made = BTreeSet::new();
    for ((space, name), data) in &world.secrets {
        made.extend(data.keys().filter(|key| *key != ".type").map(|key| (space.clone(), name.clone(), key.clone())));
    }
    // The README's patches mount these Secrets into the two operators.
    for space in ["keda", "rabbitmq-system"] {
        read.insert((space.to_owned(), "jaego-ca".to_owned(), "ca.crt".to_owned()));
    }
    assert_eq!(read.difference(&made).collect::<Vec<_>>(), Vec::<&_>::new(), "read, but not created by the README");
    assert_eq!(made.difference(&read).collect::<Vec<_>>(), Vec::<&_>::new(), "created by the README, but never read");
    // CloudNativePG accepts a role's password only from this type of Secret.
    let logins: Vec<_> = world.secrets.iter().filter(|((_, name), _)| name.contains("-database")).collect();
    assert_eq!(logins.len(), 9, "each service's and its database's owner's, and the scaler's");
    assert!(logins.iter().all(|(_, data)| data[".type"] == "kubernetes.io/basic-auth"));
    assert_eq!(world.selector, "cnpg.io/cluster=jaego-postgresql,cnpg.io/instanceRole=primary");
    for (deployment, place) in
        [("messaging-topology-operator", "/etc/ssl/certs/"), ("keda-operator", "/custom/ca/jaego-ca.crt")]
    {
        assert!(world.patches[deployment].contains(place), "{}", world.patches[deployment]);
    }
    the_addresses_are_right(&mut engine, &world);
}

/// Asserts that the addresses in the README's Secrets point to the servers of k8s/, with user names and passwords that
/// those servers know.
fn the_addresses_are_right(engine: &mut Engine, world: &World) {
    let objects = brought(engine);
    let values = engine.values("values-production.yaml");
    let vhost = the(&objects, "Vhost", "jaego")["spec"]["name"].as_str().unwrap();
    let port = |path: &str| u16::try_from(look(&values, path).as_u64().unwrap()).unwrap();
    let (postgres, rabbit) = ("jaego-postgresql-rw.jaego.svc", "jaego-rabbitmq.jaego.svc");
    the(&objects, "Cluster", "jaego-postgresql");
    the(&objects, "RabbitmqCluster", "jaego-rabbitmq");
    let check = |url: &str, scheme: &str, host: &str, port: u16, path: &str, of: &str| {
        let url = Url::parse(url).unwrap();
        assert_eq!((url.scheme(), url.host_str(), url.port_or_known_default()), (scheme, Some(host), Some(port)));
        assert_eq!(url.path().trim_start_matches('/'), path, "{of}");
        assert_eq!(url.username(), world.secret(of, "username"));
        assert_eq!(url.password(), Some(world.secret(of, "password")), "{of}");
        url
    };
    for service in ["sales", "production", "restock", "access"] {
        let connections = format!("jaego-{service}-connections");
        let database = format!("jaego_{service}");
        let role = format!("jaego-{service}-database");
        let url = world.secret(&connections, "database-url");
        let url = check(url, "postgres", postgres, port("postgresql.port"), &database, &role);
        assert_eq!(url.query(), Some("sslmode=require"));
        let owner = world.secret(&connections, "database-owner-url");
        let owner = check(owner, "postgres", postgres, port("postgresql.port"), &database, &format!("{role}-owner"));
        assert_eq!(owner.query(), url.query());
        assert_eq!(the(&objects, "Database", &format!("jaego-{service}"))["spec"]["owner"], owner.username());
        if service == "access" {
            continue;
        }
        let user = format!("jaego-{service}-broker");
        check(world.secret(&connections, "amqp-url"), "amqps", rabbit, port("rabbitmq.port"), vhost, &user);
        assert_eq!(world.secret(&user, "username"), service);
    }
    let url = world.secret("jaego-frontend-connections", "amqp-url");
    check(url, "amqps", rabbit, port("rabbitmq.port"), vhost, "jaego-frontend-broker");
    assert_eq!(world.secret("jaego-frontend-broker", "username"), "frontend");
    let credential = world.secret("jaego-operators", "program-credential");
    assert!(credential.len() == 64 && world.secret("jaego-operators", "program-credentials") == credential);
    let management = port("rabbitmq.managementPort");
    let url = Url::parse(world.secret("jaego-topology", "management-url")).unwrap();
    assert_eq!((url.scheme(), url.host_str(), url.port()), ("https", Some(rabbit), Some(management)));
    for key in ["username", "password"] {
        assert_eq!(world.secret("jaego-topology", key), world.secret("jaego-topology-broker", key));
    }
    check(
        world.secret("jaego-keda", "postgresql-connection"),
        "postgres",
        postgres,
        port("postgresql.port"),
        "jaego_production",
        "jaego-scaler-database",
    );
    let host = world.secret("jaego-keda", "rabbitmq-host");
    check(host, "https", rabbit, management, vhost, "jaego-monitoring-broker");
}

/// Components of the chart that a NetworkPolicy of k8s/ admits, by port.
fn let_in(policy: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in list(&policy["spec"]["ingress"]) {
        for peer in list(&rule["from"]).iter().filter(|peer| peer["namespaceSelector"].is_null()) {
            let selector = &peer["podSelector"];
            let mut wanted: BTreeMap<String, Vec<String>> =
                labels(&selector["matchLabels"]).into_iter().map(|(key, value)| (key, vec![value])).collect();
            for one in list(&selector["matchExpressions"]) {
                assert_eq!(one["operator"], "In");
                let values = texts(&one["values"]).into_iter().map(str::to_owned).collect();
                wanted.insert(one["key"].as_str().unwrap().to_owned(), values);
            }
            let Some(components) = wanted.remove("app.kubernetes.io/component") else { continue };
            assert_eq!(wanted, BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), vec!["jaego".to_owned()])]));
            for port in list(&rule["ports"]) {
                found.entry(format!("tcp/{}", port["port"])).or_default().extend(components.iter().cloned());
            }
        }
    }
    found
}

#[test]
fn servers_admit_exactly_the_components_that_connect() {
    let mut engine = Engine::start();
    let objects = brought(&mut engine);
    let (_, rendered) = production(&mut engine);
    let edges = Edges::of(&rendered);
    for server in ["jaego-postgresql", "jaego-rabbitmq"] {
        let mut come: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for edge in &edges.out {
            let (from, to) = edge.split_once(" -> ").unwrap();
            if let Some(port) = to.strip_prefix(&format!("[{server}] ")) {
                come.entry(port.to_owned()).or_default().insert(from.to_owned());
            }
        }
        assert!(!come.is_empty(), "{server}");
        assert_eq!(let_in(the(&objects, "NetworkPolicy", &format!("{server}-server"))), come, "{server}");
    }
    for pod in rendered.pods() {
        assert_eq!(pod.labels()["app.kubernetes.io/part-of"], "jaego", "{}", pod.owner);
    }
}

#[test]
fn peers_match_the_labels_of_servers_and_namespaces() {
    let mut engine = Engine::start();
    let objects = brought(&mut engine);
    let (values, _) = production(&mut engine);
    let peers = &values["networkPolicy"]["peers"];
    for (peer, label, kind) in
        [("postgresql", "cnpg.io/cluster", "Cluster"), ("rabbitmq", "app.kubernetes.io/name", "RabbitmqCluster")]
    {
        let server = peers[peer][0]["podSelector"]["matchLabels"][label].as_str().unwrap();
        let object = the(&objects, kind, server);
        assert_eq!(object["metadata"]["namespace"], HOME, "a peer without a namespace is in the release's own");
        let policy = the(&objects, "NetworkPolicy", &format!("{server}-server"));
        assert_eq!(policy["spec"]["podSelector"], json!({ "matchLabels": { label: server } }));
    }
    for peer in ["shopEntrance", "factoryEntrance"] {
        let space = &peers[peer][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
        the(&objects, "Namespace", space.as_str().unwrap());
    }
}

#[test]
fn the_gateway_has_a_listener_for_each_route() {
    let mut engine = Engine::start();
    let objects = brought(&mut engine);
    let (_, rendered) = production(&mut engine);
    let routes = rendered.of_kind("HTTPRoute");
    assert_eq!(routes.len(), 2);
    let mut used = Vec::new();
    for route in routes {
        let [parent] = list(&route["spec"]["parentRefs"]) else { panic!("{}: not one parent", name(route)) };
        let gateway = the(&objects, "Gateway", parent["name"].as_str().unwrap());
        assert_eq!(gateway["metadata"]["namespace"], parent["namespace"]);
        let listeners = list(&gateway["spec"]["listeners"]);
        let listener = listeners.iter().find(|one| one["name"] == parent["sectionName"]);
        let listener = listener.unwrap_or_else(|| panic!("no listener {}", parent["sectionName"]));
        assert_eq!(json!([listener["hostname"]]), route["spec"]["hostnames"]);
        assert_eq!((&listener["port"], &listener["protocol"]), (&json!(443), &json!("HTTPS")));
        let from = &listener["allowedRoutes"]["namespaces"]["selector"]["matchLabels"];
        assert_eq!(*from, json!({ "kubernetes.io/metadata.name": HOME }));
        used.push(&listener["name"]);
    }
    let listeners = list(&the(&objects, "Gateway", "jaego")["spec"]["listeners"]);
    assert!(listeners.iter().all(|one| used.contains(&&one["name"])), "a listener that nothing attaches to");
}

#[test]
fn no_object_is_defined_twice() {
    let mut engine = Engine::start();
    let (_, rendered) = production(&mut engine);
    let identity = |one: &Value| {
        let space = one["metadata"]["namespace"].as_str().unwrap_or_default().replace(NAMESPACE, HOME);
        (space, name(one))
    };
    let chart: BTreeSet<_> = rendered.all().iter().map(identity).collect();
    let brought = brought(&mut engine);
    let other: BTreeSet<_> = brought.iter().map(identity).collect();
    assert_eq!(other.len(), brought.len());
    assert_eq!(chart.intersection(&other).collect::<Vec<_>>(), Vec::<&_>::new());
}

// Control: no-token-in-access-logs.
#[test]
fn the_edge_logs_no_path_and_keeps_callbacks_as_they_are() {
    let objects = brought(&mut Engine::start());
    let proxy = &the(&objects, "EnvoyProxy", "jaego")["spec"];
    for settings in list(&proxy["telemetry"]["accessLog"]["settings"]) {
        let format = settings["format"]["json"].as_object().expect("a format of our own").values();
        let words = format.map(|word| word.as_str().unwrap().to_uppercase()).collect::<Vec<_>>();
        let has_path = |word: &&String| word.contains("PATH") || word.contains("REFERER");
        assert_eq!(words.iter().find(has_path), None);
    }
    let client = &the(&objects, "ClientTrafficPolicy", "jaego")["spec"];
    assert_eq!(client["path"], json!({ "escapedSlashesAction": "KeepUnchanged", "disableMergeSlashes": true }));
    let gateway = the(&objects, "Gateway", "jaego");
    assert_eq!(client["targetRefs"][0]["name"], gateway["metadata"]["name"]);
    assert_eq!(
        the(&objects, "ClientTrafficPolicy", "jaego")["metadata"]["namespace"],
        gateway["metadata"]["namespace"]
    );
}
