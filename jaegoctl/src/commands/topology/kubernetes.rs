//! The programs' users and rights as objects of RabbitMQ's messaging topology operator (`rabbitmq.com/v1beta1`,
//! <https://www.rabbitmq.com/kubernetes/operator/using-topology-operator>). Passwords are in Secrets beside them.

use std::fmt::Write as _;

use jaego_contracts::topology::{Permissions, QUEUES, TopicRights, User};

/// The Kubernetes name of the `RabbitmqCluster`.
const CLUSTER: &str = "jaego-rabbitmq";
const NAMESPACE: &str = "jaego";

/// The virtual host, users, permissions, topic permissions and a policy, as YAML documents.
pub(super) fn objects(vhost: &str) -> String {
    let mut yaml = Yaml(
        "# Printed by `jaegoctl topology print --kubernetes` from the table in the code; a test compares.\n\
         # Each user's name and password are in the Secret jaego-<user>-broker (keys username, password).\n"
            .to_owned(),
    );
    yaml.object("Vhost", "jaego", &[&format!("name: {vhost}"), "defaultQueueType: quorum"]);
    for user in User::ALL {
        let Permissions { configure, write, read, topics } = user.permissions();
        yaml.user(user.name(), "[]");
        yaml.permission(user.name(), vhost, [&configure, &write, &read]);
        for TopicRights { exchange, write, read } in topics {
            let name = format!("{}-{}", user.name(), exchange.replace('.', "-"));
            let rights =
                format!("permissions: {{exchange: {exchange}, write: {}, read: {}}}", quoted(&write), quoted(&read));
            yaml.object("TopicPermission", &name, &[&format!("vhost: {vhost}"), &reference(user.name()), &rights]);
        }
    }
    // For the chart's topology Job, which makes exchanges, queues and bindings.
    yaml.user("jaego-topology", "[management]");
    yaml.permission("jaego-topology", vhost, [".*", ".*", ".*"]);
    // For KEDA, which counts messages.
    yaml.user("jaego-monitoring", "[monitoring]");
    yaml.permission("jaego-monitoring", vhost, ["^$", "^$", "^$"]);
    let names: Vec<String> = QUEUES.iter().map(|queue| queue.name.replace('.', r"\.")).collect();
    let pattern = format!("pattern: {}", quoted(&format!(r"^({})(\.dlq)?$", names.join("|"))));
    let definition = "definition: {queue-leader-locator: balanced, target-group-size: 3}";
    yaml.object(
        "Policy",
        "jaego-queues",
        &["name: jaego-queues", &format!("vhost: {vhost}"), &pattern, "applyTo: queues", definition],
    );
    yaml.0
}

struct Yaml(String);

impl Yaml {
    fn object(&mut self, kind: &str, name: &str, spec: &[&str]) {
        // Writing to a string cannot fail.
        write!(
            self.0,
            "---\napiVersion: rabbitmq.com/v1beta1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n"
        )
        .ok();
        for line in spec {
            writeln!(self.0, "  {line}").ok();
        }
        writeln!(self.0, "  rabbitmqClusterReference: {{name: {CLUSTER}}}").ok();
    }

    fn user(&mut self, user: &str, tags: &str) {
        let secret = if user.starts_with("jaego-") { format!("{user}-broker") } else { format!("jaego-{user}-broker") };
        let credentials = format!("importCredentialsSecret: {{name: {secret}}}");
        self.object("User", user, &[&format!("tags: {tags}"), &credentials]);
    }

    fn permission(&mut self, user: &str, vhost: &str, [configure, write, read]: [&str; 3]) {
        let [configure, write, read] = [configure, write, read].map(quoted);
        self.object(
            "Permission",
            user,
            &[
                &format!("vhost: {vhost}"),
                &reference(user),
                "permissions:",
                &format!("  configure: {configure}"),
                &format!("  write: {write}"),
                &format!("  read: {read}"),
            ],
        );
    }
}

fn reference(user: &str) -> String {
    format!("userReference: {{name: {user}}}")
}

/// YAML takes a regular expression in single quotes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
