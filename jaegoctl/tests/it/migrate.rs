//! `jaegoctl migrate` on real databases.

use std::path::Path;

use testkit::Lab;
use testkit::harness::connect;

use crate::program::run;

fn migrations(folder: &str) -> usize {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("migrations").read_dir().unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_database_gets_to_the_newest_schema_once() {
    let lab = Lab::try_acquire().await.unwrap();
    for service in ["sales", "production", "restock"] {
        let database = lab.database(service).await;
        let variable = format!("{}_DATABASE_URL", service.to_uppercase());
        let env = [(variable.as_str(), format!("{}?sslmode=disable", database.url))];
        let expected = migrations("shared") + migrations(&format!("{service}-service"));
        let ran = run(&["--json", "migrate", "--service", service], &env).await.ends_with(0);
        assert_eq!(ran.json()["applied"].as_array().map(Vec::len), Some(expected), "{}", ran.stdout);
        let ran = run(&["migrate", "--service", service], &env).await.ends_with(0);
        assert!(ran.stdout.contains("was at the newest schema"), "{}", ran.stdout);
        let client = connect(&database.url).await;
        let row = client.query_one("SELECT count(*) FROM __diesel_schema_migrations", &[]).await.unwrap();
        assert_eq!(usize::try_from(row.get::<_, i64>(0)).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_without_its_password() {
    let ran = run(&["migrate", "--service", "sales"], &[]).await.ends_with(2);
    assert!(ran.stderr.contains("SALES_DATABASE_URL"), "{}", ran.stderr);
    let env = [("SALES_DATABASE_URL", "postgres://role:a-secret@127.0.0.1:1/x?sslmode=disable".to_owned())];
    let ran = run(&["migrate", "--service", "sales"], &env).await.ends_with(3);
    assert!(ran.stderr.contains("127.0.0.1:1/x") && !format!("{ran:?}").contains("a-secret"), "{ran:?}");
    let env = [("SALES_DATABASE_URL", "host=127.0.0.1 password=a-secret".to_owned())];
    let ran = run(&["migrate", "--service", "sales"], &env).await.ends_with(2);
    assert!(!format!("{ran:?}").contains("a-secret"), "{ran:?}");
}
