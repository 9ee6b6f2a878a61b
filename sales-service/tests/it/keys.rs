//! Stored answers are found by an index on their keys, even if there are many and PostgreSQL has no statistics.

use diesel::sql_types::BigInt;
use diesel::{QueryableByName, sql_query};
use diesel_async::RunQueryDsl as _;
use jaego_pg::{Pipeline, pool};
use jaego_settings::Settings as _;
use sales_service::store::orders;
use sha2::{Digest as _, Sha256};

use crate::harness::{Shop, settings};

#[derive(QueryableByName)]
struct Read {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_looked_up_one_by_one_in_a_table_of_which_no_statistics_are_known() {
    let shop = Shop::open().await;
    let fill = "ALTER TABLE orders SET (autovacuum_enabled = off); \
        INSERT INTO orders (id, status, total, traceparent, created_at, key_hash, fingerprint) \
        SELECT gen_random_uuid(), 'confirmed', 1, '', now(), sha256(convert_to('key-' || n, 'UTF8')), '' \
        FROM generate_series(1, 50000) AS n";
    shop.database.batch_execute(fill).await.expect("filled");
    let pool = pool(&settings(&shop).common().database, "keys-test").expect("a pool");
    let transaction = Pipeline::new(pool.get().await.expect("a connection"));
    transaction.begin().await.expect("begun");
    let keys = (0..64).map(|n| Sha256::digest(format!("key-{}", n * 1000)).to_vec()).collect();
    let connection = transaction.connection();
    let kept = orders::kept(connection, keys).await.expect("found");
    assert_eq!(kept.len(), 50, "those up to 50000, without 0");
    let read = "SELECT seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables \
        WHERE relname = 'orders'";
    let read: Read = sql_query(read).get_result(&mut &*connection).await.expect("counted");
    assert_eq!(read.rows, 50, "rows that were read for them");
}
