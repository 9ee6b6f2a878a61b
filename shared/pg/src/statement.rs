//! A hand-written statement that is prepared once per connection.
//!
//! Diesel never caches `sql_query`, nor its own batch inserts; each use costs a second round trip.
//! A type per statement gives diesel the static id that its cache wants.

use std::marker::PhantomData;

use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use diesel_async::AsyncPgConnection;

/// Names the statement; its type is the cache key.
pub trait StatementSql: Send + Sync + 'static {
    /// The text, with `?` where each parameter goes, in order. It must not hold a `?` otherwise.
    const SQL: &'static str;
}

/// A statement with its parameters, to be executed with [`Statement::run`] or [`Statement::load`].
pub struct Statement<S> {
    parameters: Vec<Box<dyn Parameter>>,
    statement: PhantomData<fn() -> S>,
}

impl<S: StatementSql> Statement<S> {
    /// The statement with no parameter yet.
    #[expect(clippy::new_without_default, reason = "a statement without parameters is no sensible default")]
    pub fn new() -> Self {
        Self { parameters: Vec::new(), statement: PhantomData }
    }

    /// The next parameter, of SQL type `T`.
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

    /// Executes it; answers the number of rows it touched. A shared connection is enough, so that several
    /// may be under way (see [`super::Pipeline`]).
    pub async fn run(self, mut connection: &AsyncPgConnection) -> QueryResult<usize> {
        diesel_async::RunQueryDsl::execute(self, &mut connection).await
    }

    /// Executes it; answers its rows, read by the names of their columns.
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
    /// The same as [`Self::run`] for tables that grow: rows are found by index, however small the tables were when the
    /// statement was planned. A plan made for an empty table reads all of it, and is kept until the table has been
    /// analysed. Needs a transaction; one round trip with what is sent before and after.
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

    /// The same as [`Self::load`] for a table whose size changes much: it is planned for what it asks for, though it
    /// stays prepared. Needs a transaction; one round trip with what is sent before and after.
    pub async fn load_planned_anew<R>(self, connection: &AsyncPgConnection) -> QueryResult<Vec<R>>
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

/// Several statements that write, done as one: `WITH a AS (..), b AS (..) ..`. Each is done whole and once, on
/// the rows that were there before any of them; when one fails, none was done. PostgreSQL is spoken to once.
pub struct Together<S> {
    parts: Vec<Box<dyn QueryFragment<Pg> + Send + Sync>>,
    statements: PhantomData<fn() -> S>,
}

impl<S: StatementSql> Statement<S> {
    /// The first of several.
    #[must_use]
    pub fn together(self) -> Together<S> {
        Together { parts: vec![Box::new(self)], statements: PhantomData }
    }
}

impl<S: 'static> Together<S> {
    /// The next one; which they are is part of the type, and so of the cache's key.
    #[must_use]
    pub fn and<N: StatementSql>(mut self, next: Statement<N>) -> Together<(S, N)> {
        self.parts.push(Box::new(next));
        Together { parts: self.parts, statements: PhantomData }
    }

    /// Executes all.
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

/// Its columns are known by their names, as those of `sql_query` are.
impl<S: StatementSql> Query for Statement<S> {
    type SqlType = Untyped;
}

impl<S: StatementSql, C> diesel::RunQueryDsl<C> for Statement<S> {}
