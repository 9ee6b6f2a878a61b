//! `jaegoctl migrate` on real databases.

use std::path::Path;

use testkit::Lab;
use testkit::harness::connect;
use testkit::provision::without_tls;

use crate::program::run;

fn migrations(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join("migrations");
    folder.read_dir().unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_database_gets_to_the_newest_schema_once() {
    let lab = Lab::try_acquire().await.unwrap();
    for service in ["sales", "production", "restock", "access"] {
        let database = lab.database(service).await;
        let [variable, owner] = ["URL", "OWNER_URL"].map(|kind| format!("{}_DATABASE_{kind}", service.to_uppercase()));
        let env = [(&*variable, without_tls(&database.url)), (&*owner, without_tls(&database.owner_url))];
        let refused = run(&["migrate", "--service", service], &env[..1]).await.ends_with(1);
        let sentence =
            format!("{0} may not change the schema, because the database belongs to {0}_owner", database.name);
        assert!(refused.stderr.contains(&sentence), "{}", refused.stderr);
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
