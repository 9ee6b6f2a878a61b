//! Attempts of a service that was taken over, with the login that it has.

use tokio_postgres::{Client, error::SqlState};

use super::{World, connect};

/// Attempts that concern no single table. `{role}` is the service's role.
const ATTEMPTS: [&str; 24] = [
    "CREATE TABLE mine (id integer)",
    "CREATE TEMPORARY TABLE mine (id integer)",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "DROP SCHEMA public CASCADE",
    "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000')",
    "UPDATE __diesel_schema_migrations SET version = version",
    "DELETE FROM __diesel_schema_migrations",
    "SET ROLE \"{role}_owner\"",
    "SET SESSION AUTHORIZATION \"{role}_owner\"",
    "REASSIGN OWNED BY \"{role}_owner\" TO \"{role}\"",
    "GRANT \"{role}_owner\" TO \"{role}\"",
    "ALTER ROLE \"{role}\" CREATEROLE",
    "CREATE ROLE mine",
    "ALTER DATABASE \"{role}\" RENAME TO mine",
    "ALTER DEFAULT PRIVILEGES FOR ROLE \"{role}_owner\" GRANT ALL ON TABLES TO PUBLIC",
    // Would switch triggers and constraints off.
    "SET session_replication_role = replica",
    "COPY outbox TO PROGRAM 'true'",
    "COPY outbox FROM '/etc/passwd'",
    "CREATE EXTENSION pgcrypto",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER ROLE \"{role}_owner\" PASSWORD 'mine'",
    "SELECT setval(oid::regclass, 1) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace",
];

/// Attempts on every table.
const ON_TABLES: [&str; 8] = [
    "TRUNCATE {table} CASCADE",
    "DROP TABLE {table} CASCADE",
    "ALTER TABLE {table} ADD COLUMN mine integer",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} OWNER TO \"{role}\"",
    "CREATE INDEX ON {table} ((1))",
    "CREATE RULE mine AS ON INSERT TO {table} DO INSTEAD NOTHING",
    "CREATE TRIGGER mine BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
];

/// Attempts on the tables whose rows are added and never changed.
const ON_BOOKS: [&str; 5] = [
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "SELECT FROM {table} FOR UPDATE",
    "LOCK TABLE {table} IN EXCLUSIVE MODE",
    "MERGE INTO {table} USING (SELECT 1) AS mine ON true WHEN MATCHED THEN DELETE",
];

/// Objects that would change these tables for the service: foreign keys act, and such functions run, with the owner's rights.
const DETOURS: &str = "SELECT conname::text FROM pg_constraint JOIN pg_class c ON c.oid = conrelid \
    WHERE contype = 'f' AND c.relname = ANY($1) AND (confdeltype NOT IN ('a', 'r') OR confupdtype NOT IN ('a', 'r')) \
    UNION ALL SELECT proname::text FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace";

impl World {
    /// Tries with the service's login to change the schema, and the rows of the tables that it only adds to, which are
    /// exactly `append_only`.
    pub async fn may_only_do_its_work(&self, append_only: &[&str]) {
        let (role, own) = (&self.own.database.name, connect(&self.own.database.url).await);
        let tables = "SELECT c.relname::text, a.attname::text, \
             NOT (has_table_privilege($1, c.oid, 'UPDATE') OR has_table_privilege($1, c.oid, 'DELETE')) \
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = c.relnatts \
             WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY 1";
        let tables = self.database.query(tables, &[role]).await.expect("the tables");
        let mut books: Vec<String> = Vec::new();
        for row in &tables {
            let (table, column): (&str, &str) = (row.get(0), row.get(1));
            let fill = |sql: &str| sql.replace("{table}", table).replace("{column}", column).replace("{role}", role);
            for attempt in ON_TABLES {
                is_refused(&own, &fill(attempt)).await;
            }
            if row.get(2) {
                books.push(table.to_owned());
                for attempt in ON_BOOKS {
                    is_refused(&own, &fill(attempt)).await;
                }
            }
        }
        for attempt in ATTEMPTS {
            is_refused(&own, &attempt.replace("{role}", role)).await;
        }
        let mut expected = [&["__diesel_schema_migrations"], append_only].concat();
        expected.sort_unstable();
        assert_eq!(books, expected, "tables whose rows the service may not change");
        let detours = self.database.query(DETOURS, &[&books]).await.expect("foreign keys and functions");
        assert_eq!(detours.iter().map(|row| row.get(0)).collect::<Vec<String>>(), [""; 0], "detours to these tables");
    }
}

async fn is_refused(own: &Client, attempt: &str) {
    let ended = own.batch_execute(&format!("BEGIN; {attempt}; ROLLBACK")).await;
    let error = ended.expect_err(attempt);
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{attempt}: {error:?}");
    own.batch_execute("ROLLBACK").await.expect("rolled back");
}
