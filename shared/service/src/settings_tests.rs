//! Tests of valid settings, and of the problems reported for invalid ones.

use jaego_settings::{Settings, load};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::*;
use crate::settings::Common;

const DEFAULTS: &str = include_str!("testdata/common.toml");

#[derive(Debug, Deserialize)]
struct Only {
    #[serde(flatten)]
    common: Common,
}
impl Settings for Only {
    type Common = Common;

    fn common(&self) -> &Common {
        &self.common
    }
    fn check(&self, _: &mut Vec<String>) {}
}

fn load_with(env: &[(&str, &str)]) -> Result<Only, InvalidSettings> {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(Sources { defaults: DEFAULTS, file: None, env_prefix: "JAEGO_TEST", env })
}

const URLS: [(&str, &str); 2] = [
    ("JAEGO_TEST__DATABASE__URL", "postgres://role:very-secret@localhost/x"),
    ("JAEGO_TEST__AMQP__URL", "amqp://user:very-secret@localhost/%2f"),
];

#[test]
fn the_environment_overrides_and_lists_are_split() {
    let digest = "a".repeat(64);
    let tokens = format!("kim:viewer:{digest}, lee:operator:{digest}");
    let mut env = URLS.to_vec();
    env.extend([("JAEGO_TEST__HTTP__PORT", "9191"), ("JAEGO_TEST__AUTH__TOKENS", tokens.as_str())]);
    let settings = load_with(&env).expect("valid");
    assert_eq!(settings.common.http.port, 9191);
    assert_eq!(settings.common.auth.tokens.len(), 2);
}

// Control: no-secret-in-errors.
#[test]
fn every_problem_is_reported_at_once_and_no_value_is_shown() {
    let mut env = URLS.to_vec();
    env.extend([
        ("JAEGO_TEST__HTTP__PROT", "1"),
        ("JAEGO_TEST__HTTP__PORT", "very-secret"),
        ("JAEGO_TEST_HTTP_PORT", "1"),
    ]);
    let InvalidSettings(problems) = load_with(&env).expect_err("three problems");
    assert_eq!(problems.len(), 3, "{problems:?}");
    let message = problems.join("\n");
    assert!(message.contains("http.prot: no such key") && message.contains("http.port: must be a whole number"));
    assert!(!message.contains("very-secret"));
}

#[test]
fn bad_values_are_reported_together() {
    let InvalidSettings(problems) =
        load_with(&[("JAEGO_TEST__HTTP__WORKERS", "0"), ("JAEGO_TEST__OUTBOX__WINDOW", "0")]).expect_err("bad");
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn problems_of_every_kind_are_reported_together_each_with_its_key() {
    let mut env = URLS.to_vec();
    env.extend([
        ("JAEGO_TEST__HTTP__PORT", "70000"),
        ("JAEGO_TEST__DATABASE__POOL_SIZE", "-1"),
        ("JAEGO_TEST__HTTP__PROT", "1"),
        ("JAEGO_TEST__OUTBOX__WINDOW", "many"),
    ]);
    let InvalidSettings(problems) = load_with(&env).expect_err("four problems");
    for key in ["http.port: ", "database.pool_size: ", "http.prot: ", "outbox.window: "] {
        assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key} is not reported: {problems:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_shows_no_line_of_it() {
    let path = std::env::temp_dir().join(format!("jaego-settings-{}.toml", std::process::id()));
    std::fs::write(&path, "[database]\nurl = \"postgres://role:very-secret@host/x\n").expect("written");
    let sources = Sources { defaults: DEFAULTS, file: Some(&path), env_prefix: "JAEGO_TEST", env: Vec::new() };
    let message = load::<Only>(sources).map(drop).expect_err("not TOML").to_string();
    std::fs::remove_file(&path).expect("removed");
    assert!(message.contains("line 2") && !message.contains("very-secret"), "{message}");
}

/// A directory with the given files, which exists for one test.
struct Files(std::path::PathBuf);

impl Files {
    fn new(test: &str, files: &[(&str, &[u8])]) -> Self {
        let dir = std::env::temp_dir().join(format!("jaego-settings-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        for (name, bytes) in files {
            std::fs::write(dir.join(name), bytes).expect("written");
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn values_come_from_files_without_their_last_newline_and_lists_are_split() {
    let digest = "a".repeat(64);
    let tokens = format!("kim:viewer:{digest}\nlee:operator:{digest}, max:viewer:{digest}\n");
    let files = Files::new(
        "values",
        &[
            ("url", b"postgres://role:very-secret@localhost/from-file\n"),
            ("amqp", b"amqp://user:very-secret@localhost/x\r\n"),
            ("tokens", tokens.as_bytes()),
            ("port", b"9191"),
        ],
    );
    let settings = load_with(&[
        ("JAEGO_TEST__DATABASE__URL_FILE", &files.path("url")),
        ("JAEGO_TEST__AMQP__URL_FILE", &files.path("amqp")),
        ("JAEGO_TEST__AUTH__TOKENS_FILE", &files.path("tokens")),
        ("JAEGO_TEST__HTTP__PORT_FILE", &files.path("port")),
    ])
    .expect("valid");
    let common = settings.common;
    assert_eq!(common.database.url.expose_secret(), "postgres://role:very-secret@localhost/from-file");
    assert_eq!(common.amqp.url.expose_secret(), "amqp://user:very-secret@localhost/x");
    assert_eq!((common.auth.tokens.len(), common.http.port), (3, 9191));
}

#[test]
fn a_bad_file_is_reported_with_its_variable_and_path_and_never_with_its_content() {
    let large = [b"very-secret".as_slice(), &b"x".repeat(64 * 1024)].concat();
    let files = Files::new("problems", &[("large", &large), ("binary", b"very-secret\xff"), ("word", b"very-secret")]);
    let with = |env: &[(&str, &str)]| {
        let InvalidSettings(problems) = load_with(env).expect_err("a problem");
        assert!(!problems.join("\n").contains("very-secret"), "{problems:?}");
        problems
    };
    for name in ["large", "binary", "absent", ""] {
        let path = files.path(name);
        let problems = with(&[("JAEGO_TEST__DATABASE__URL_FILE", &path), URLS[1]]);
        let message = format!("JAEGO_TEST__DATABASE__URL_FILE: cannot read {path}: ");
        assert!(problems.iter().any(|problem| problem.starts_with(&message)), "{problems:?}");
    }
    let word = files.path("word");
    let both = with(&[("JAEGO_TEST__DATABASE__URL_FILE", &word), URLS[0], URLS[1]]);
    assert_eq!(
        both,
        ["JAEGO_TEST__DATABASE__URL and JAEGO_TEST__DATABASE__URL_FILE: give the value or the file, not both"]
    );
    let number = with(&[("JAEGO_TEST__HTTP__PORT_FILE", &word), URLS[0], URLS[1]]);
    assert_eq!(number, ["http.port: must be a whole number"]);
    for unknown in ["JAEGO_TEST__HTTP__PROT_FILE", "JAEGO_TEST__HTTP_FILE"] {
        let problems = with(&[(unknown, &word), URLS[0], URLS[1]]);
        assert!(problems.len() == 1 && problems[0].ends_with("_file: no such key"), "{problems:?}");
    }
}

#[test]
fn a_key_that_ends_with_file_is_itself_and_its_file_is_looked_at() {
    let files = Files::new("authorities", &[("none.pem", b"nothing")]);
    for (path, message) in [(files.path("absent.pem"), "No such file"), (files.path("none.pem"), "no certificate")] {
        let env = [URLS[0], URLS[1], ("JAEGO_TEST__DATABASE__CA_FILE", &path), ("JAEGO_TEST__AMQP__CA_FILE", &path)];
        let InvalidSettings(problems) = load_with(&env).expect_err("two problems");
        assert_eq!(problems.len(), 2, "{problems:?}");
        for (key, problem) in ["database.ca_file: ", "amqp.ca_file: "].iter().zip(&problems) {
            assert!(problem.starts_with(key) && problem.contains(&path) && problem.contains(message), "{problems:?}");
        }
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let settings = load_with(&URLS).expect("valid");
    assert!(!format!("{settings:?}").contains("very-secret"));
}

#[test]
fn the_owner_of_the_schema_is_another_role_in_the_same_database() {
    let with = |owner: &str| {
        let problems = load_with(&[URLS[0], URLS[1], ("JAEGO_TEST__DATABASE__OWNER_URL", owner)]);
        problems.map(|_| ()).map_err(|InvalidSettings(problems)| problems.join("\n"))
    };
    assert_eq!(with("postgres://owner:very-secret@localhost/x"), Ok(()));
    assert_eq!(with(""), Ok(()));
    for (owner, sentence) in [
        ("postgres://role:very-secret@localhost/x", "must name another role than database.url"),
        ("postgres://owner:very-secret@localhost/y", "must name the same database as database.url"),
        ("very-secret", "must be empty, or look like"),
    ] {
        let problem = with(owner).expect_err(owner);
        assert!(problem.starts_with("database.owner_url: ") && problem.contains(sentence), "{problem}");
        assert!(!problem.contains("very-secret"), "{problem}");
    }
}
