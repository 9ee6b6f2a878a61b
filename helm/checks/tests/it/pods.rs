//! Requirements for every pod: Pod Security `restricted`, no service account token, no visible secret.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    engine::Engine,
    objects::{Pod, Rendered, all_texts, decoded, list, name, texts},
    values::evaluation,
};

/// Both modes, with everything enabled that has pods.
fn modes(engine: &mut Engine) -> Vec<Rendered> {
    let production = engine.values("values-production.yaml");
    vec![engine.render(&evaluation()), engine.render(&production)]
}

/// Violations of the Pod Security Standards' profile "restricted", including what it inherits from "baseline": a
/// sentence for each. <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
pub(super) fn breaks_restricted(pod: &Pod<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut rule = |holds: bool, text: &str| {
        if !holds {
            found.push(format!("{}: {text}", pod.owner));
        }
    };
    let whole = &pod.spec["securityContext"];
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        rule(pod.spec[host].as_bool() != Some(true), host);
    }
    rule(list(&whole["sysctls"]).is_empty(), "sysctls");
    rule(whole["runAsUser"] != 0, "root");
    let allowed =
        ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
    for volume in list(&pod.spec["volumes"]) {
        let kinds: Vec<&String> = volume.as_object().unwrap().keys().filter(|key| *key != "name").collect();
        rule(kinds.iter().all(|kind| allowed.contains(&kind.as_str())), &format!("volume {volume}"));
    }
    for container in pod.containers() {
        let own = &container["securityContext"];
        let either = |key: &str| if own[key].is_null() { whole[key].clone() } else { own[key].clone() };
        rule(own["privileged"].as_bool() != Some(true), "privileged");
        rule(own["allowPrivilegeEscalation"] == false, "privilege escalation");
        rule(either("runAsNonRoot") == true, "may be root");
        rule(own["runAsUser"] != 0, "root");
        let seccomp = either("seccompProfile")["type"].clone();
        rule(seccomp == "RuntimeDefault" || seccomp == "Localhost", "seccomp");
        rule(texts(&own["capabilities"]["drop"]).contains(&"ALL"), "capabilities are not dropped");
        let added = texts(&own["capabilities"]["add"]);
        rule(added.iter().all(|capability| *capability == "NET_BIND_SERVICE"), "capabilities are added");
        rule(own["procMount"].is_null() || own["procMount"] == "Default", "procMount");
        rule(list(&container["ports"]).iter().all(|port| port["hostPort"].is_null()), "host ports");
    }
    found
}

// Control: restricted-pods.
#[test]
fn every_pod_is_restricted() {
    for rendered in modes(&mut Engine::start()) {
        let pods = rendered.pods();
        assert!(pods.len() >= 7, "only {} pods", pods.len());
        for pod in pods {
            assert_eq!(breaks_restricted(&pod), [""; 0]);
            for container in pod.containers() {
                // Stricter than "restricted".
                assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{}", pod.owner);
                assert!(container["resources"]["requests"]["memory"].is_string(), "{}", pod.owner);
                assert!(container["resources"]["limits"]["memory"].is_string(), "{}", pod.owner);
            }
        }
    }
}

#[test]
fn a_pod_that_is_not_restricted_is_noticed() {
    let rendered = Engine::start().render(&evaluation());
    let pod = rendered.get("Deployment", "sales");
    for (pointer, value) in [
        ("/securityContext/runAsNonRoot", json!(null)),
        ("/securityContext/seccompProfile/type", json!("Unconfined")),
        ("/hostNetwork", json!(true)),
        ("/containers/0/securityContext/capabilities/drop", json!([])),
        ("/containers/0/securityContext/allowPrivilegeEscalation", json!(null)),
        ("/volumes/0", json!({ "name": "host", "hostPath": { "path": "/" } })),
    ] {
        let mut spec = pod["spec"]["template"]["spec"].clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        match spec.pointer_mut(parent).unwrap() {
            Value::Array(elements) => elements[field.parse::<usize>().unwrap()] = value,
            parent => parent[field] = value,
        }
        let pod = Pod { owner: name(pod), component: "sales".to_owned(), metadata: &pod["metadata"], spec: &spec };
        assert_eq!(breaks_restricted(&pod).len(), 1, "{pointer}");
    }
}

#[test]
fn no_pod_gets_a_token() {
    for rendered in modes(&mut Engine::start()) {
        let accounts = rendered.of_kind("ServiceAccount");
        for account in &accounts {
            assert_eq!(account["automountServiceAccountToken"], false, "{}", name(account));
        }
        let accounts: BTreeSet<&str> = accounts.iter().map(|one| one["metadata"]["name"].as_str().unwrap()).collect();
        for pod in rendered.pods() {
            assert_eq!(pod.spec["automountServiceAccountToken"], false, "{}", pod.owner);
            // An account of its own, so that later grants apply to no other pod.
            assert!(accounts.contains(pod.spec["serviceAccountName"].as_str().unwrap()), "{}", pod.owner);
            let projected = list(&pod.spec["volumes"]).iter().flat_map(|volume| list(&volume["projected"]["sources"]));
            assert!(projected.into_iter().all(|source| source["serviceAccountToken"].is_null()), "{}", pod.owner);
        }
        for kind in ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"] {
            assert!(rendered.of_kind(kind).is_empty(), "{kind}");
        }
    }
}

// Control: secrets-in-secrets.
#[test]
fn secrets_are_in_secrets_only() {
    for rendered in modes(&mut Engine::start()) {
        let secrets = rendered.of_kind("Secret");
        let mut values: BTreeSet<String> = secrets.iter().flat_map(|one| decoded(one).into_values()).collect();
        // Names, and addresses without a password, are not secret.
        let is_address = |value: &str| value.starts_with("http") && !value.contains('@');
        values.retain(|value| value != "admin" && !is_address(value));
        // Passwords inside URLs and files count as well.
        let inner: Vec<String> = values.iter().flat_map(|value| passwords(value)).collect();
        values.extend(inner);
        let rest: Vec<&Value> = rendered.all().iter().filter(|one| one["kind"] != "Secret").collect();
        let mut shown: Vec<&str> = rest.iter().flat_map(|one| all_texts(one)).collect();
        shown.push(&rendered.notes);
        for text in shown {
            assert!(!values.iter().any(|value| text.contains(value.as_str())), "a secret is in {text}");
            assert!(!text.contains("PRIVATE KEY"), "{text}");
        }
        for one in &secrets {
            let annotations = &one["metadata"]["annotations"];
            // Helm removes no hook when a release is uninstalled, and replaces this one with the same values.
            let is_kept_hook = annotations["helm.sh/hook-delete-policy"] == "before-hook-creation";
            assert!(annotations["helm.sh/resource-policy"] == "keep" || is_kept_hook, "{}", name(one));
        }
    }
}

/// Passwords in `scheme://user:password@host` and in `key = password`.
fn passwords(value: &str) -> Vec<String> {
    let of_url = url::Url::parse(value).ok().and_then(|url| url.password().map(str::to_owned));
    let of_file = value.lines().filter_map(|line| line.split_once("_pass = ")).map(|(_, word)| word.to_owned());
    of_url.into_iter().chain(of_file).collect()
}

// Control: owner-login-in-jobs.
#[test]
fn only_the_migrations_and_who_makes_the_databases_read_the_owners_logins() {
    for rendered in modes(&mut Engine::start()) {
        for pod in rendered.pods() {
            let (pod, text) = (&pod.owner, pod.spec.to_string());
            let may = pod.starts_with("Job jaego-migrate-") || pod.starts_with("Job jaego-database-");
            assert_eq!(text.contains("-owners\"") || text.contains("database-owner-url"), may, "{pod}: {text}");
        }
    }
}

#[test]
fn the_environment_holds_only_paths_of_secrets() {
    for rendered in modes(&mut Engine::start()) {
        for component in ["sales", "production", "restock", "access", "frontend"] {
            let deployment = rendered.get("Deployment", component);
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            let mounts: Vec<&str> =
                list(&container["volumeMounts"]).iter().map(|mount| mount["mountPath"].as_str().unwrap()).collect();
            let mut names = BTreeSet::new();
            for variable in list(&container["env"]) {
                let place = variable["value"].as_str().unwrap();
                assert!(mounts.iter().any(|mount| place.starts_with(&format!("{mount}/"))), "{variable}");
                names.insert(variable["name"].as_str().unwrap().split_once("__").unwrap().1.to_owned());
            }
            let mut wanted = BTreeSet::new();
            if component != "frontend" {
                wanted.extend(["DATABASE__URL_FILE", "AUTH__TOKENS_FILE"]);
            }
            if component == "access" {
                wanted.insert("PROGRAMS__CREDENTIALS_FILE");
            } else {
                wanted.extend(["AMQP__URL_FILE", "ACCESS__CREDENTIAL_FILE"]);
            }
            wanted.extend((component == "production").then_some("CALLBACK__SIGNING_KEY_FILE"));
            wanted.extend((component == "restock").then_some("CALLBACK__PUBLIC_KEYS_FILE"));
            assert_eq!(names.iter().map(String::as_str).collect::<BTreeSet<_>>(), wanted);
        }
    }
}
