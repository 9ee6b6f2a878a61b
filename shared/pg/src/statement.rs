//! A hand-written statement that is prepared once per connection.
//!
//! Diesel never caches `sql_query` or its own batch inserts, so each use costs a second round trip. A type per
//! statement gives diesel the static id that its cache needs.

use std::marker::PhantomData;

use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use diesel_async::AsyncPgConnection;

/// Identifies a statement; the implementing type is the cache key.
pub trait StatementSql: Send + Sync + 'static {
    /// SQL text, with a `?` for each parameter, in order. It must not contain any other `?`.
    const SQL: &'static str;
}

/// A statement with its parameters, to be executed with [`Statement::run`] or [`Statement::load`].
pub struct Statement<S> {
    parameters: Vec<Box<dyn Parameter>>,
    statement: PhantomData<fn() -> S>,
}

impl<S: StatementSql> Statement<S> {
    /// A statement without parameters so far.
    #[expect(clippy::new_without_default, reason = "a statement without parameters is no sensible default")]
    pub fn new() -> Self {
        Self { parameters: Vec::new(), statement: PhantomData }
    }

    /// Binds the next parameter, of SQL type `T`.
    #[must_use]
    pub fn bind<T, V>(mut self, value: V) -> Self
    where
        T: Send + Sync + 'static,
        V: ToSql<T, Pg> + Send + Sync + 'static,
        Pg: HasSqlType<T>,
    {
        self.parameters.push(Box::new(Bound(value, PhantomData::<fn() -> T>)));
        self
    }

    /// Executes the statement; returns the number of affected rows. A shared connection is enough, so that several
    /// statements may be in flight (see [`super::Pipeline`]).
    pub async fn run(self, mut connection: &AsyncPgConnection) -> QueryResult<usize> {
        diesel_async::RunQueryDsl::execute(self, &mut connection).await
    }

    /// Executes the statement; returns its rows, read by column name.
    pub async fn load<R>(self, mut connection: &AsyncPgConnection) -> QueryResult<Vec<R>>
    where
        R: QueryableByName<Pg> + Send + 'static,
    {
        diesel_async::RunQueryDsl::load(self, &mut connection).await
    }
}

struct PlanAnew;
impl StatementSql for PlanAnew {
    const SQL: &'static str = "SET LOCAL plan_cache_mode = force_custom_plan";
}

struct PlanAsUsual;
impl StatementSql for PlanAsUsual {
    const SQL: &'static str = "SET LOCAL plan_cache_mode = DEFAULT";
}

struct ScanNothing;
impl StatementSql for ScanNothing {
    const SQL: &'static str = "SET LOCAL enable_seqscan = off";
}

struct ScanAsUsual;
impl StatementSql for ScanAsUsual {
    const SQL: &'static str = "SET LOCAL enable_seqscan = DEFAULT";
}

impl<S: StatementSql> Statement<S> {
    /// Like [`Self::run`], for tables that grow: rows are found by index, however small the tables were when the
    /// statement was planned. A plan made for an empty table scans all of it, and is kept until the table has been
    /// analyzed. Needs a transaction; takes one round trip, including the settings sent before and after.
    pub async fn run_by_index(self, connection: &AsyncPgConnection) -> QueryResult<usize> {
        let (nothing, done, as_usual) = futures::join!(
            Statement::<ScanNothing>::new().run(connection),
            self.run(connection),
            Statement::<ScanAsUsual>::new().run(connection),
        );
        nothing?;
        let done = done?;
        as_usual?;
        Ok(done)
    }

    /// Like [`Self::load`], for a table whose size varies widely: each execution is planned for its own parameters,
    /// though the statement stays prepared. Needs a transaction; takes one round trip, including the settings sent
    /// before and after.
    pub async fn load_replanned<R>(self, connection: &AsyncPgConnection) -> QueryResult<Vec<R>>
    where
        R: QueryableByName<Pg> + Send + 'static,
    {
        let (anew, rows, as_usual) = futures::join!(
            Statement::<PlanAnew>::new().run(connection),
            self.load::<R>(connection),
            Statement::<PlanAsUsual>::new().run(connection),
        );
        anew?;
        let rows = rows?;
        as_usual?;
        Ok(rows)
    }
}

/// Several writing statements that are executed as one: `WITH a AS (..), b AS (..) ..`. Each is executed once and in
/// full, on the rows as they were before any of them; if one fails, none takes effect. They cost a single round trip.
pub struct Together<S> {
    parts: Vec<Box<dyn QueryFragment<Pg> + Send + Sync>>,
    statements: PhantomData<fn() -> S>,
}

impl<S: StatementSql> Statement<S> {
    /// Begins a combined statement with this one.
    #[must_use]
    pub fn together(self) -> Together<S> {
        Together { parts: vec![Box::new(self)], statements: PhantomData }
    }
}

impl<S: 'static> Together<S> {
    /// Adds the next statement. The statements are part of the type, and so of the cache key.
    #[must_use]
    pub fn and<N: StatementSql>(mut self, next: Statement<N>) -> Together<(S, N)> {
        self.parts.push(Box::new(next));
        Together { parts: self.parts, statements: PhantomData }
    }

    /// Executes all statements.
    pub async fn run(self, mut connection: &AsyncPgConnection) -> QueryResult<usize> {
        diesel_async::RunQueryDsl::execute(self, &mut connection).await
    }
}

impl<S> QueryFragment<Pg> for Together<S> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some((last, before)) = self.parts.split_last() else { return Ok(()) };
        for (place, part) in before.iter().enumerate() {
            pass.push_sql(if place == 0 { "WITH " } else { ", " });
            pass.push_identifier(&format!("part_{place}"))?;
            pass.push_sql(" AS (");
            part.walk_ast(pass.reborrow())?;
            pass.push_sql(")");
        }
        pass.push_sql(" ");
        last.walk_ast(pass)
    }
}

impl<S: 'static> QueryId for Together<S> {
    type QueryId = Together<S>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<S, C> diesel::RunQueryDsl<C> for Together<S> {}

trait Parameter: Send + Sync {
    fn push<'b>(&'b self, pass: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

struct Bound<T, V>(V, PhantomData<fn() -> T>);

impl<T, V> Parameter for Bound<T, V>
where
    T: 'static,
    V: ToSql<T, Pg> + Send + Sync,
    Pg: HasSqlType<T>,
{
    fn push<'b>(&'b self, pass: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_bind_param::<T, V>(&self.0)
    }
}

impl<S: StatementSql> QueryFragment<Pg> for Statement<S> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut pieces = S::SQL.split('?');
        pass.push_sql(pieces.next().unwrap_or_default());
        for (parameter, piece) in self.parameters.iter().zip(pieces) {
            parameter.push(&mut pass)?;
            pass.push_sql(piece);
        }
        Ok(())
    }
}

impl<S: StatementSql> QueryId for Statement<S> {
    type QueryId = S;
    const HAS_STATIC_QUERY_ID: bool = true;
}

/// Columns are read by name, as with `sql_query`.
impl<S: StatementSql> Query for Statement<S> {
    type SqlType = Untyped;
}

impl<S: StatementSql, C> diesel::RunQueryDsl<C> for Statement<S> {}
