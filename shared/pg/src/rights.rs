//! Rights of a service's role in a schema that another role owns.

use diesel::sql_types::{Array, Bool, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

/// List of the applied migrations, which a service only reads.
const APPLIED: &str = "__diesel_schema_migrations";

/// Statements for the tables that the connected role owns. The names of the tables whose rows are only added come as
/// the second argument.
const NARROW: &str = "SELECT concat(string_agg(format('REVOKE ALL ON TABLE %1$s FROM PUBLIC, %2$I; \
    GRANT %3$s ON TABLE %1$s TO %2$I', c.oid::regclass, $1, CASE WHEN c.relname = $3 \
    THEN 'SELECT' WHEN c.relname = ANY($2) THEN 'SELECT, INSERT' ELSE 'SELECT, INSERT, UPDATE, DELETE' END), \
    '; '), format('; ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM %I', $1)) AS text \
    FROM pg_class c JOIN pg_roles owner ON owner.oid = c.relowner \
    WHERE owner.rolname = current_user AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')";

/// A table that a migration creates can be used at once: a trigger runs with the rights of the service that is still at
/// work.
const PREPARE: &str = "SELECT format('GRANT USAGE ON SCHEMA public TO %1$I; ALTER DEFAULT PRIVILEGES IN SCHEMA public \
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %1$I', $1) AS text";

/// The rights that the service's role has besides those in the tables, because it is an administrator, belongs to another
/// role, or owns something.
const EXCESS: &str = "SELECT coalesce(string_agg(excess, '; '), '') AS text FROM ( \
    SELECT format('it may act as %s', current_user) AS excess WHERE pg_has_role($1::name, current_user, 'MEMBER') \
    UNION ALL SELECT 'it may add to the schema' \
    WHERE has_schema_privilege($1::name, 'public', 'CREATE') OR has_database_privilege($1::name, current_database(), 'CREATE') \
    UNION ALL (SELECT format('it may change %s', c.relname) FROM pg_class c \
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') \
    AND (pg_has_role($1::name, c.relowner, 'MEMBER') OR c.relname = ANY($2 || $3) \
    AND (has_any_column_privilege($1::name, c.oid, 'UPDATE') OR has_table_privilege($1::name, c.oid, 'DELETE, TRUNCATE'))) \
    ORDER BY c.relname)) AS found";

const OWNER: &str = "SELECT current_user::text AS role, pg_get_userbyid(datdba)::text AS owner, \
    has_schema_privilege('public', 'CREATE') AS may_create FROM pg_database WHERE datname = current_database()";

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Connected {
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    owner: String,
    #[diesel(sql_type = Bool)]
    may_create: bool,
}

/// Fails if the connected role may not change the schema.
pub(super) async fn check_owner(connection: &mut AsyncPgConnection) -> Result<(), String> {
    let asked = sql_query(OWNER).get_result(connection).await;
    let Connected { role, owner, may_create } = asked.map_err(|error| error.to_string())?;
    if may_create {
        return Ok(());
    }
    Err(format!(
        "{role} may not change the schema, because the database belongs to {owner}: set database.owner_url to a login \
         of {owner}"
    ))
}

/// Before the migrations: lets the service's role use the schema and what they add to it.
pub(super) async fn prepare(connection: &mut AsyncPgConnection, service: &str) -> diesel::QueryResult<()> {
    let prepare: Line = sql_query(PREPARE).bind::<Text, _>(service).get_result(connection).await?;
    connection.batch_execute(&prepare.text).await
}

/// After the migrations: reduces the rights of the service's role to those that its program uses, in one transaction.
/// Returns the rights that it has in another way, which only an administrator can take away.
pub(super) async fn narrow(
    connection: &mut AsyncPgConnection,
    service: &str,
    append_only: &[&str],
) -> diesel::QueryResult<String> {
    let for_role =
        |sql| sql_query(sql).bind::<Text, _>(service).bind::<Array<Text>, _>(append_only).bind::<Text, _>(APPLIED);
    let narrow: Line = for_role(NARROW).get_result(connection).await?;
    connection.batch_execute(&narrow.text).await?;
    let excess: Line = for_role(EXCESS).get_result(connection).await?;
    Ok(excess.text)
}
