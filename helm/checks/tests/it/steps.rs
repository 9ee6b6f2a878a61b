//! Runs the commands of k8s/README.md as they are written there, with a `kubectl` that only records: which Secrets
//! exist afterwards, and which SQL the databases received.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use tasks::node::package_dir;

use e2e::{programs, programs_dir};

/// Accepts only the commands that the README uses.
const KUBECTL: &str = r#"#!/bin/sh
set -eu
[ "$1" = -n ] || { echo "in which namespace? $*" >&2; exit 1; }
space=$WORLD/$2
shift 2
case "$1 $2" in
"create secret")
  secret=$space/$4
  mkdir -p "$space"
  mkdir "$secret"
  printf %s "$3" > "$secret/.type"
  shift 4
  for word; do
    pair=${word#*=}
    case $word in
    --from-literal=*) printf %s "${pair#*=}" > "$secret/${pair%%=*}" ;;
    --from-file=*) cp "${pair#*=}" "$secret/${pair%%=*}" ;;
    --cert=*) cp "$pair" "$secret/tls.crt" ;;
    --key=*) cp "$pair" "$secret/tls.key" ;;
    --type=*) printf %s "$pair" > "$secret/.type" ;;
    *) echo "what is $word?" >&2; exit 1 ;;
    esac
  done
  ;;
"get secret")
  key=${5#jsonpath=\{.data.}
  base64 < "$space/$3/${key%\}}"
  ;;
"get pod") echo "$4" > "$WORLD/selector"; echo pod/the-primary ;;
"exec -i")
  [ "$3 $4 $5 $6 $7" = "pod/the-primary -c postgres -- psql" ] || exit 1
  for database; do :; done
  number=$(ls "$WORLD" | grep -c '[.]sql$' || true)
  cat > "$WORLD/$number.$database.sql"
  ;;
"patch deployment") printf %s "$5" > "$WORLD/$3.patch.yaml" ;;
*) echo "what is $*?" >&2; exit 1 ;;
esac
"#;

/// The state after all steps of the README.
pub(super) struct World {
    /// By namespace and name, then by key. The key `.type` holds the Secret's type.
    pub(super) secrets: BTreeMap<(String, String), BTreeMap<String, String>>,
    /// Database and SQL, in the order of execution.
    pub(super) sql: Vec<(String, String)>,
    /// Selector of the pod that receives the SQL.
    pub(super) selector: String,
    /// Patches of operators, by the Deployment's name.
    pub(super) patches: BTreeMap<String, String>,
}

impl World {
    pub(super) fn secret(&self, name: &str, key: &str) -> &str {
        let secret = self.secrets.get(&("jaego".to_owned(), name.to_owned()));
        &secret.unwrap_or_else(|| panic!("the README makes no Secret {name}"))[key]
    }
}

/// The `sh` blocks of the README, without their indentation.
fn commands() -> String {
    let readme = fs::read_to_string(package_dir("k8s/README.md")).unwrap();
    let mut commands = String::from("set -eu\n");
    let mut block: Option<usize> = None;
    for line in readme.lines() {
        match block {
            None if line.trim() == "```sh" => block = Some(line.len() - line.trim_start().len()),
            None => {}
            Some(_) if line.trim() == "```" => block = None,
            Some(indent) => {
                let (before, line) = line.split_at(indent.min(line.len()));
                assert!(before.trim().is_empty(), "{line} is indented less than its block");
                commands.push_str(line);
                commands.push('\n');
            }
        }
    }
    commands
}

/// Runs all commands, in a folder of their own.
pub(super) async fn followed(dir: &Path) -> World {
    drop(programs().await);
    let (bin, world) = (dir.join("bin"), dir.join("world"));
    for folder in [&bin, &world, &dir.join("tls")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(bin.join("kubectl"), KUBECTL).unwrap();
    fs::set_permissions(bin.join("kubectl"), fs::Permissions::from_mode(0o755)).unwrap();
    for file in ["ca.crt", "postgresql.crt", "rabbitmq.crt", "shop.crt", "factory.crt"] {
        fs::write(dir.join("tls").join(file), file).unwrap();
        fs::write(dir.join("tls").join(file.replace(".crt", ".key")), "a key").unwrap();
    }
    let path = format!("{}:{}:/usr/bin:/bin", bin.display(), programs_dir().display());
    let ended = Command::new("sh")
        .args(["-c", &commands()])
        .current_dir(dir)
        .env_clear()
        .envs([("PATH", path.as_str()), ("BACKUP_KEY_ID", "an id"), ("BACKUP_SECRET_KEY", "a key")])
        .env("WORLD", &world)
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    read(&world)
}

fn entries(folder: &Path) -> Vec<(String, std::path::PathBuf)> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    entries.sort();
    entries
}

fn read(folder: &Path) -> World {
    let mut world =
        World { secrets: BTreeMap::new(), sql: Vec::new(), selector: String::new(), patches: BTreeMap::new() };
    for (name, path) in entries(folder) {
        if path.is_dir() {
            for (secret, path) in entries(&path) {
                let data = entries(&path).into_iter().map(|(key, path)| (key, fs::read_to_string(path).unwrap()));
                world.secrets.insert((name.clone(), secret), data.collect());
            }
        } else if let Some(database) = name.strip_suffix(".sql") {
            let database = database.split_once('.').unwrap().1.to_owned();
            world.sql.push((database, fs::read_to_string(path).unwrap()));
        } else if let Some(deployment) = name.strip_suffix(".patch.yaml") {
            world.patches.insert(deployment.to_owned(), fs::read_to_string(path).unwrap());
        } else {
            fs::read_to_string(path).unwrap().trim().clone_into(&mut world.selector);
        }
    }
    world
}
