//! Commands without any service: help, and an unusable command line or environment.

use tokio::net::TcpListener;

use crate::program::run;

fn nowhere(url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("SALES_URL", url.to_owned()),
        ("PRODUCTION_URL", url.to_owned()),
        ("RESTOCK_URL", url.to_owned()),
        ("OPERATOR_TOKEN", "a-secret-token".to_owned()),
    ]
}

#[tokio::test]
async fn the_help_shows_exit_codes_and_variables_but_no_secret() {
    let ran = run(&["--help"], &nowhere("http://u:a-secret-password@127.0.0.1:1")).await.ends_with(0);
    for expected in ["SALES_URL", "OPERATOR_TOKEN", "--token-file", "Exit codes:", "audit"] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("secret"), "{}", ran.stdout);
    let ran = run(&["audit", "--help"], &[]).await.ends_with(0);
    assert!(ran.stdout.contains("--wait") && ran.stdout.contains("with 5 if"), "{}", ran.stdout);
}

#[tokio::test]
async fn missing_settings_are_named() {
    run(&[], &[]).await.ends_with(2);
    run(&["audit", "--nonsense"], &[]).await.ends_with(2);
    run(&["audit", "--wait", "2 days"], &[]).await.ends_with(2);
    let ran = run(&["audit"], &[]).await.ends_with(2);
    assert!(ran.stderr.contains("SALES_URL") && ran.stderr.contains("--sales-url"), "{}", ran.stderr);

    let mut env = nowhere("http://127.0.0.1:1");
    env.pop();
    let ran = run(&["audit"], &env).await.ends_with(2);
    assert!(ran.stderr.contains("OPERATOR_TOKEN") && ran.stderr.contains("--token-file"), "{}", ran.stderr);
    let ran = run(&["audit", "--token-file", "/nowhere/token"], &env).await.ends_with(2);
    assert!(ran.stderr.contains("/nowhere/token"), "{}", ran.stderr);
    env.push(("OPERATOR_TOKEN", "two\nlines".to_owned()));
    let ran = run(&["audit"], &env).await.ends_with(2);
    assert!(!ran.stderr.contains("two"), "{}", ran.stderr);

    let ran = run(&["audit"], &nowhere("ftp://u:a-secret-password@h")).await.ends_with(2);
    assert!(ran.stderr.contains("SALES_URL: must begin with http://"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
}

// Control: token-not-an-argument.
#[tokio::test]
async fn a_token_is_no_argument() {
    let ran = run(&["audit", "--token", "a-secret-token"], &[]).await.ends_with(2);
    assert!(!ran.stdout.contains("a-secret-token"), "{}", ran.stdout);
}

#[tokio::test]
async fn an_unreachable_service_is_named_without_its_password() {
    // A port that was free a moment ago, and one that accepts connections and never answers.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut env = nowhere(&format!("http://u:a-secret-password@{free}"));
    env[2].1 = format!("http://{}", silent.local_addr().unwrap());
    let ran = run(&["audit", "--timeout", "300ms"], &env).await.ends_with(3);
    for expected in [&format!("sales-service does not answer at http://{free}"), "SALES_URL", "time ran out"] {
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    assert!(ran.stdout.contains("not compared"), "{}", ran.stdout);
    assert!(!format!("{ran:?}").contains("secret"), "{ran:?}");
    let ran = run(&["--json", "audit", "--timeout", "300ms"], &env).await.ends_with(3);
    let document = ran.json();
    assert_eq!((&document["ok"], &document["compared"]), (&false.into(), &false.into()));
    assert!(!format!("{ran:?}").contains("secret"), "{ran:?}");
}

#[tokio::test]
async fn the_topology_is_printed_without_asking_anybody() {
    let ran = run(&["topology", "print"], &[]).await.ends_with(0);
    let definitions = ran.json();
    assert_eq!(definitions["permissions"][0]["vhost"], "jaego");
    assert!(!ran.stdout.contains("password"));
    assert_eq!(run(&["topology", "print", "--asyncapi"], &[]).await.ends_with(0).json()["asyncapi"], "3.0.0");
    let ran = run(&["topology", "diff"], &[]).await.ends_with(2);
    assert!(ran.stderr.contains("RABBITMQ_MANAGEMENT_URL"), "{}", ran.stderr);
}
