//! A pipelined transaction is all or nothing, runs in order, and is never returned to the pool unfinished.

use diesel::sql_query;
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};
use futures::join;
use jaego_pg::{Pipeline, Pool, Statement, StatementSql, StoreError, pool};
use jaego_settings::Settings as _;

use crate::harness::{Shop, settings};

struct Insert<const NUMBER: usize>;
impl StatementSql for Insert<0> {
    const SQL: &'static str = "INSERT INTO numbers VALUES (0)";
}
impl StatementSql for Insert<1> {
    const SQL: &'static str = "INSERT INTO numbers VALUES (1)";
}
/// Violates the primary key.
struct Twice;
impl StatementSql for Twice {
    const SQL: &'static str = "INSERT INTO numbers VALUES (7), (7)";
}

async fn insert<S: StatementSql>(connection: &AsyncPgConnection) -> Result<usize, StoreError> {
    Ok(Statement::<S>::new().run(connection).await?)
}

/// Runs an unprepared statement, which is prepared on each call.
async fn insert_unprepared(mut connection: &AsyncPgConnection, number: i64) -> Result<usize, StoreError> {
    Ok(sql_query(format!("INSERT INTO numbers VALUES ({number})")).execute(&mut connection).await?)
}

/// A pool of one connection, so that each transaction gets the one that the last has left.
async fn one_connection(shop: &Shop) -> Pool {
    shop.database.batch_execute("CREATE TABLE numbers (number bigint PRIMARY KEY)").await.expect("made");
    let grant = format!("GRANT ALL ON numbers TO {}", shop.own.database.name);
    shop.database.batch_execute(&grant).await.expect("granted");
    let mut database = settings(shop).common().database.clone();
    database.pool_size = 1;
    pool(&database, "pipeline-test").expect("a pool")
}

const NUMBERS: &str = "SELECT count(*) FROM numbers";

#[tokio::test(flavor = "multi_thread")]
async fn all_is_written_or_nothing_prepared_or_not() {
    let shop = Shop::open().await;
    let pool = one_connection(&shop).await;
    // Nothing is prepared in the first round; begin and commit must still keep their places.
    for round in 0..3_i64 {
        let transaction = Pipeline::new(pool.get().await.expect("a connection"));
        let connection = transaction.connection();
        let (begun, unprepared, zero, twice, one, committed) = join!(
            transaction.begin(),
            insert_unprepared(connection, 100 + round),
            insert::<Insert<0>>(connection),
            insert::<Twice>(connection),
            insert::<Insert<1>>(connection),
            transaction.commit(),
        );
        begun.expect("begun");
        unprepared.expect("before the failure");
        zero.expect("before the failure");
        assert!(twice.expect_err("refused").violates("numbers_pkey"));
        assert!(one.expect_err("not tried").to_string().contains("aborted"));
        // PostgreSQL reports success for the COMMIT of a failed transaction, and rolls back.
        committed.expect("rolled back");
        assert_eq!(shop.count(NUMBERS).await, 0, "round {round}");
    }
    let transaction = Pipeline::new(pool.get().await.expect("a connection"));
    let connection = transaction.connection();
    let (begun, unprepared, zero, one, committed) = join!(
        transaction.begin(),
        insert_unprepared(connection, 100),
        insert::<Insert<0>>(connection),
        insert::<Insert<1>>(connection),
        transaction.commit(),
    );
    begun.expect("begun");
    unprepared.expect("written");
    zero.expect("written");
    one.expect("written");
    committed.expect("committed");
    assert_eq!(shop.count(NUMBERS).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_dropped_half_way_leaves_nothing_in_the_pool() {
    let shop = Shop::open().await;
    let pool = one_connection(&shop).await;
    let transaction = Pipeline::new(pool.get().await.expect("a connection"));
    let (begun, zero) = join!(transaction.begin(), insert::<Insert<0>>(transaction.connection()));
    begun.expect("begun");
    zero.expect("written");
    drop(transaction);

    // The next transaction sees neither the row nor its lock, so the same key can be written.
    let transaction = Pipeline::new(pool.get().await.expect("a connection"));
    let (begun, zero, committed) =
        join!(transaction.begin(), insert::<Insert<0>>(transaction.connection()), transaction.commit());
    begun.expect("begun");
    zero.expect("written");
    committed.expect("committed");
    assert_eq!(shop.count(NUMBERS).await, 1);
}
