//! `jaegoctl audit` accepts correct books and finds manual changes.

use localstack::demo::FIRST_SKU;
use localstack::stack::Service;
use nix::sys::signal::Signal;
use testkit::harness::connect;
use testkit::wait_until;

use crate::program::{Running, environment, run};
use e2e::{SOON, World};

/// Changes a service's database, as someone with `psql` could.
async fn by_hand(world: &World, service: Service, statements: &str) {
    let url = world.stack.database_admin_url(service).unwrap();
    let client = connect(&url).await;
    client.batch_execute(statements).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_hand_are_named() {
    let world = World::shared(Vec::new()).await;
    let env = environment(&world);
    world.sell_out().await;
    world.wait_on_hand(10).await;

    // The receipt may still be on its way to production-service, which the command waits for.
    let ran = run(&["audit", "--wait", "60s"], &env).await.ends_with(0);
    for expected in ["sales-service", "production-service", "restock-service", "rules hold", "10 units of"] {
        assert!(ran.stdout.contains(expected), "{expected}: {}", ran.stdout);
    }
    let ran = run(&["--json", "audit"], &env).await.ends_with(0);
    assert_eq!(ran.json()["ok"], true, "{}", ran.stdout);
    assert_eq!(ran.json()["services"].as_array().map(Vec::len), Some(3), "{}", ran.stdout);

    let cases = [
        // The service's own rules notice it, too.
        (
            Service::Restock,
            "UPDATE receipts SET quantity = 13",
            "UPDATE receipts SET quantity = 10",
            "restock-service breaks received-is-in-receipts",
            "CP-502101: restock booked 13, sales applied 10 (3 missing), production saw 10 (3 missing)",
        ),
        (
            Service::Sales,
            "UPDATE stock_movements SET delta = delta - 4, before = before + 4 WHERE cause = 'receipt'",
            "UPDATE stock_movements SET delta = delta + 4, before = before - 4 WHERE cause = 'receipt'",
            "sales-service breaks ledger-adds-up",
            "CP-502101: restock booked 10, sales applied 6 (4 missing), production saw 10",
        ),
        // All of production's own books agree and are wrong: only the comparison notices.
        (
            Service::Production,
            "UPDATE receipts SET quantity = 20; UPDATE production_requests SET received = 20",
            "UPDATE receipts SET quantity = 10; UPDATE production_requests SET received = 10",
            "",
            "CP-502101: restock booked 10, sales applied 10, production saw 20 (10 too many)",
        ),
    ];
    for (service, change, undo, rule, difference) in cases {
        by_hand(&world, service, change).await;
        let ran = run(&["audit", "--wait", "1s"], &env).await.ends_with(5);
        assert!(ran.stdout.contains(rule) && ran.stdout.contains(difference), "{}", ran.stdout);
        assert_eq!(ran.stdout.contains("breaks"), !rule.is_empty(), "{}", ran.stdout);
        let ran = run(&["--json", "audit", "--wait", "0s"], &env).await.ends_with(5);
        assert_eq!(ran.json()["differences"][0]["sku"], FIRST_SKU, "{}", ran.stdout);
        by_hand(&world, service, undo).await;
        run(&["audit"], &env).await.ends_with(0);
    }

    // The totals do not come from this row: the service's own rule names it.
    by_hand(&world, Service::Sales, "UPDATE receipts_applied SET quantity = 9").await;
    let ran = run(&["audit"], &env).await.ends_with(5);
    assert!(ran.stdout.contains("sales-service breaks receipts-count-once: CP-502101"), "{}", ran.stdout);
    by_hand(&world, Service::Sales, "UPDATE receipts_applied SET quantity = 10").await;

    let mut stranger = env.clone();
    stranger[3].1 = "nobody".to_owned();
    let ran = run(&["audit"], &stranger).await.ends_with(4);
    assert!(ran.stderr.contains("auth.tokens") && ran.stderr.contains("trace id: "), "{}", ran.stderr);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_under_way_is_waited_for_and_a_service_that_is_gone_is_named() {
    let mut world = World::shared(Vec::new()).await;
    let env = environment(&world);
    // Sales cannot apply the receipt while another transaction locks the stock row.
    world.stack.process(Service::Production).unwrap().signal(Signal::SIGSTOP);
    world.sell_out().await;
    let url = world.stack.database_url(Service::Sales).unwrap();
    let mut client = connect(&url).await;
    let row = client.transaction().await.unwrap();
    row.execute("SELECT FROM stock WHERE sku = $1 FOR UPDATE", &[&FIRST_SKU]).await.unwrap();
    world.stack.process(Service::Production).unwrap().signal(Signal::SIGCONT);
    wait_until("a receipt in restock's and production's books", SOON, || async {
        let ran = run(&["--json", "audit", "--wait", "0s"], &env).await;
        let difference = ran.json()["differences"][0].clone();
        let seen = (difference["restock"].as_i64(), difference["sales"].as_i64(), difference["production"].as_i64());
        if seen == (Some(10), Some(0), Some(10)) { Ok(()) } else { Err(ran) }
    })
    .await;

    let mut audit = Running::start(&["audit", "--wait", "60s"], &env);
    let said = audit.said().await;
    assert!(said.contains("differ in 1 products") && said.contains("checking again"), "{said}");
    row.rollback().await.unwrap();
    let ran = audit.end().await.ends_with(0);
    assert!(ran.stdout.contains("agree on what was received: 10 units"), "{}", ran.stdout);

    world.stack.kill9(Service::Restock).unwrap();
    let ran = run(&["audit"], &env).await.ends_with(3);
    assert!(ran.stderr.contains("restock-service does not answer at http://127.0.0.1"), "{}", ran.stderr);
    assert!(ran.stdout.contains("not compared"), "{}", ran.stdout);
    // Known violations take precedence over services that did not answer.
    by_hand(&world, Service::Sales, "UPDATE stock SET on_hand = 11 WHERE sku = 'CP-502101'").await;
    let ran = run(&["audit"], &env).await.ends_with(5);
    assert!(ran.stdout.contains("on hand is 11, the ledger says 10 (1 off)"), "{}", ran.stdout);
}
