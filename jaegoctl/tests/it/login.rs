//! `login` and `logout` against a real access-service and a provider of the test.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use access_service::{app, settings::Settings};
use testkit::{harness::World, identity_provider::IdentityProvider};

use crate::program::{Running, run};

/// access-service in this process, with a provider at which lee is a viewer.
async fn start() -> (World, jaego_process::Running, IdentityProvider) {
    let provider = IdentityProvider::start().await;
    provider.put("lee-1", "lee", &["viewers"]);
    let world = World::access().await;
    let changed = provider.settings();
    let changed: Vec<(&str, &str)> = changed.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let settings: Settings = world.settings(app::IDENTITY.defaults, &changed);
    jaego_pg::migrate(&world.own.database.migrator(), (app::IDENTITY.migrations)()).await.unwrap();
    let running = app::start(settings).await.unwrap();
    (world, running, provider)
}

// Control: login-file.
#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_logs_in_lists_their_sessions_and_logs_out() {
    let (_world, running, provider) = start().await;
    let home = tempfile::tempdir().unwrap();
    let url = format!("http://{}", running.listeners.api);
    let env = vec![("HOME", home.path().display().to_string()), ("ACCESS_URL", url)];
    run(&["sessions", "ls"], &env).await.ends_with(2);

    let mut login = Running::start(&["login", "--no-browser"], &env);
    assert!(login.said().await.contains("in a browser"));
    let address = login.said().await;
    let (state, code) = provider.sign_in("lee-1", address.trim());
    let redirect = url::Url::parse(address.trim()).unwrap();
    let back = redirect.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    let browser = testkit::http::client(Duration::from_secs(60));
    // Another page of this machine's browser cannot end or take over the login.
    let stray = browser.get(format!("{back}?state=guessed&code={code}")).send().await.unwrap();
    assert_eq!(stray.status(), 404);
    let page = browser.get(format!("{back}?state={state}&code={code}")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("You are signed in."));
    let ran = login.end().await.ends_with(0);
    assert!(ran.stdout.contains("signed in as oidc:lee"), "{}", ran.stdout);

    let file = home.path().join(".config/jaego/session.json");
    let kept = fs::read_to_string(&file).unwrap();
    let session = kept.split('"').find(|part| part.starts_with("jaego_ses_")).unwrap();
    assert!(!ran.stdout.contains(session) && !ran.stderr.contains(session));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));

    let ran = run(&["sessions", "ls"], &env).await.ends_with(0);
    assert!(ran.stdout.contains("oidc:lee"), "{}", ran.stdout);
    // It is sent to no other installation, and not used when others could have read it.
    let elsewhere = vec![env[0].clone(), ("ACCESS_URL", "http://127.0.0.1:1".to_owned())];
    run(&["sessions", "ls"], &elsewhere).await.ends_with(2);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let ran = run(&["sessions", "ls"], &env).await.ends_with(2);
    assert!(ran.stderr.contains("others can read"), "{}", ran.stderr);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    run(&["logout"], &env).await.ends_with(0);
    assert!(!file.exists());
    fs::write(&file, &kept).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let ran = run(&["sessions", "ls"], &env).await.ends_with(4);
    assert!(ran.stderr.contains("log in again"), "{}", ran.stderr);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_says_why_and_keeps_nothing() {
    let (_world, running, provider) = start().await;
    provider.put("lee-1", "lee", &[]);
    let home = tempfile::tempdir().unwrap();
    let url = format!("http://{}", running.listeners.api);
    let env = vec![("XDG_CONFIG_HOME", home.path().display().to_string()), ("ACCESS_URL", url)];
    let mut login = Running::start(&["login", "--no-browser"], &env);
    login.said().await;
    let address = login.said().await;
    let (state, code) = provider.sign_in("lee-1", address.trim());
    let redirect = url::Url::parse(address.trim()).unwrap();
    let back = redirect.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    let browser = testkit::http::client(Duration::from_secs(60));
    let page = browser.get(format!("{back}?state={state}&code={code}")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("You are not signed in"));
    let ran = login.end().await.ends_with(4);
    assert!(ran.stderr.contains("none of your groups has access"), "{}", ran.stderr);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    let ran = run(&["logout"], &env).await.ends_with(0);
    assert!(ran.stdout.contains("nobody was signed in"), "{}", ran.stdout);
    running.stop().await;
}
