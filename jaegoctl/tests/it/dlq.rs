//! `jaegoctl dlq` against the contract's dead letters.

use serde_json::{Value, json};

use crate::{
    program::{Ran, run},
    stand_in::{JOBS, StandIn, environment, id, letters},
};

struct Shop {
    sales: StandIn,
    production: StandIn,
    restock: StandIn,
}

impl Shop {
    /// 500 dead letters of one cause and 3 of another in production, 2 in sales, none in restock.
    fn open() -> Self {
        let mut production = letters("production.requests", 1, 500);
        production.extend(letters("production.stock-received", 2, 3));
        Self {
            sales: StandIn::start(letters("sales.stock-received", 3, 2)),
            production: StandIn::start(production),
            restock: StandIn::start(Vec::new()),
        }
    }

    async fn does(&self, args: &[&str], code: i32) -> Ran {
        run(args, &environment(&self.sales, &self.production, &self.restock)).await.ends_with(code)
    }

    async fn close(self) {
        for service in [self.sales, self.production, self.restock] {
            service.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_operator_finds_and_redrives_by_the_help_alone() {
    let shop = Shop::open();
    let help = shop.does(&["--help"], 0).await.stdout;
    assert!(help.contains("dlq") && help.contains("Dead letters"), "{help}");
    let help = shop.does(&["dlq", "--help"], 0).await.stdout;
    for step in ["jaegoctl dlq groups", "jaegoctl dlq show ID", "jaegoctl dlq redrive --group GROUP --rate 50"] {
        assert!(help.contains(step), "{step}: {help}");
    }

    let ran = shop.does(&["dlq", "groups"], 0).await;
    for expected in ["group-1", "500", "group-2", "group-3", "restock-service at http://", "3 groups"] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    assert!(ran.stdout.contains("\\u{1b}[2J") && !ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
    let ran = shop.does(&["dlq", "ls", "--group", "group-3"], 0).await;
    assert!(ran.stdout.contains(&id(3, 1)) && ran.stdout.contains("2 dead letters, from"), "{}", ran.stdout);
    // On the second page of another service's list.
    let ran = shop.does(&["dlq", "show", &id(1, 333)], 0).await;
    assert!(ran.stdout.contains("handler-failed") && ran.stdout.contains("CP-502101"), "{}", ran.stdout);

    let ran = shop.does(&["dlq", "redrive", "--group", "group-1", "--rate", "50", "--yes"], 0).await;
    assert!(ran.stdout.ends_with("500 processed, 0 failed again\n"), "{}", ran.stdout);
    assert_eq!(shop.production.state().redrives, [json!({"group": "group-1", "rate_per_s": 50})]);
    assert!(shop.sales.state().redrives.is_empty() && shop.restock.state().redrives.is_empty());
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_not_touched_without_a_yes() {
    let shop = Shop::open();
    let ran = shop.does(&["dlq", "redrive", "--group", "group-1"], 6).await;
    assert!(ran.stderr.contains("Redrive 500 dead letters of group group-1 in production-service"), "{ran:?}");
    shop.does(&["dlq", "discard", &id(2, 0), &id(2, 1), "--reason", "x"], 6).await;
    shop.does(&["dlq", "discard", "--group", "group-2", "--reason", "x"], 6).await;
    assert!(shop.production.state().redrives.is_empty() && shop.production.state().discards.is_empty());

    // Naming one by its id is explicit enough.
    shop.does(&["dlq", "redrive", &id(2, 1)], 0).await;
    assert_eq!(shop.production.state().redrives, [json!({"ids": [&id(2, 1)], "rate_per_s": 50})]);
    shop.does(&["dlq", "discard", &id(2, 2), "--reason", "a test"], 0).await;
    assert_eq!(shop.production.state().discards, [json!({"ids": [&id(2, 2)], "reason": "a test"})]);
    let ran = shop.does(&["dlq", "discard", "--group", "group-1", "--reason", "poison", "--yes"], 0).await;
    assert!(ran.stdout.contains("500 of 500 discarded"), "{}", ran.stdout);

    // Dead letters of several services at once.
    let args = ["--json", "dlq", "redrive", "--yes", &id(2, 0), &id(3, 0), &id(3, 1)];
    let document = shop.does(&args, 0).await.json();
    assert_eq!((&document["processed"], &document["failed_again"]), (&json!(3), &json!(0)), "{document}");
    let sales = json!({"ids": [&id(3, 0), &id(3, 1)], "rate_per_s": 50});
    assert_eq!(shop.sales.state().redrives, [sales]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_failures_and_unknown_letters_are_reported() {
    let shop = Shop::open();
    shop.production.state().fail_again = 2;
    let ran = shop.does(&["dlq", "redrive", "--group", "group-2", "--yes"], 5).await;
    assert!(ran.stdout.ends_with("1 processed, 2 failed again\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("jaegoctl dlq groups shows why"), "{}", ran.stderr);

    let ran = shop.does(&["dlq", "redrive", "--group", "nonsense", "--yes"], 4).await;
    assert!(ran.stderr.contains("group-1, group-2"), "{}", ran.stderr);
    let gone = id(9, 9);
    for args in [&["dlq", "show", &gone][..], &["dlq", "redrive", &gone], &["dlq", "discard", &gone, "--reason", "x"]] {
        let ran = shop.does(args, 4).await;
        assert!(ran.stderr.contains(&format!("no dead letter {gone}")), "{}", ran.stderr);
    }
    for args in [
        &["dlq", "redrive"][..],
        &["dlq", "redrive", &gone, "--group", "b"],
        &["dlq", "redrive", "../x"],
        &["dlq", "redrive", &gone, "--rate", "0"],
        &["dlq", "discard", &gone],
        &["dlq", "ls", "--queue", "nonsense"],
        &["dlq", "ls", "--queue", "production.requests", "--service", "sales"],
    ] {
        shop.does(args, 2).await;
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_outlives_a_service_that_is_away_and_a_command_that_ends() {
    let shop = Shop::open();
    // Only the service that reads this queue is queried.
    let document = shop.does(&["--json", "dlq", "groups", "--queue", "production.requests"], 0).await.json();
    let groups: Vec<&Value> = document["items"].as_array().unwrap().iter().map(|group| &group["group"]).collect();
    assert_eq!(groups, ["group-1"]);
    assert_eq!(document["sources"].as_array().map(Vec::len), Some(1), "{document}");

    shop.production.state().stuck = true;
    let ran = shop.does(&["dlq", "redrive", "--group", "group-1", "--yes", "--wait", "0s"], 5).await;
    let job = id(JOBS, 1);
    let expected = format!(
        "250 of the messages are still pending; the redrive continues. Follow it: jaegoctl dlq follow {job} --service production"
    );
    assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
    {
        let mut state = shop.production.state();
        state.stuck = false;
        state.away = 3;
    }
    let ran = shop.does(&["dlq", "follow", &job, "--service", "production"], 0).await;
    assert!(ran.stdout.ends_with("500 processed, 0 failed again\n"), "{}", ran.stdout);
    shop.close().await;
}
