//! The one place that knows there are two databases.
//!
//! SQLite has one writer: [`Db::begin`] waits in a fair queue for the only connection that may
//! write, while [`Db::conn`] reads beside it. A function that holds a [`Tx`] must therefore not
//! begin another one. PostgreSQL runs at read committed; conditional updates look at the row again
//! after they waited for its lock, selects before them do not.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection,
    SqlitePool, Transaction,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use tokio::time::timeout;

use crate::{clock::Clock, error::Result, sql, sql::One};

/// The portable set of migrations, compiled in.
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");
/// How long a caller waits for a free connection before the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that was used so shortly before is not asked whether it still works.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long a connection made only to see whether there is a server may take.
const PROBE_TIMEOUT: Duration = Duration::from_millis(300);
/// How long SQLite waits for the lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database: a handle to share, cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pools: Pools,
    clock: Arc<Clock>,
}

#[derive(Clone, Debug)]
enum Pools {
    Postgres(PgPool),
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
}

/// How to connect.
#[derive(Clone, Copy, Debug)]
pub struct DbOptions {
    /// Connections at most, at least 1. SQLite has one more, the one that writes.
    pub connections_max: u32,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            connections_max: 10,
        }
    }
}

impl Db {
    /// Connects to `postgres://...` or `sqlite://FILE`; the tables are [`Db::migrate`]'s business.
    ///
    /// A SQLite file is created when it is missing (its folder is not); SQLite in memory is refused.
    pub async fn connect(url: &str, options: &DbOptions) -> Result<Self> {
        let connections_max = options.connections_max.max(1);
        let pools = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Pools::Postgres(connect_postgres(url, connections_max).await?)
        } else {
            connect_sqlite(url, connections_max).await?
        };
        let db = Self {
            pools,
            clock: Arc::default(),
        };
        db.measure_clock().await?;
        Ok(db)
    }

    /// Brings the tables up to date; again changes nothing.
    ///
    /// Takes a lock in PostgreSQL, so that several processes may start at once.
    pub async fn migrate(&self) -> Result<()> {
        match &self.pools {
            Pools::Postgres(pool) => MIGRATIONS.run(pool).await,
            Pools::Sqlite { writer, .. } => MIGRATIONS.run(writer).await,
        }
        .map_err(|error| sqlx::Error::from(error).into())
    }

    /// A connection to read with.
    pub async fn conn(&self) -> Result<Conn> {
        Ok(Conn(match &self.pools {
            Pools::Postgres(pool) => Inner::Postgres(pool.acquire().await?),
            Pools::Sqlite { readers, .. } => Inner::Sqlite(readers.acquire().await?),
        }))
    }

    /// A transaction: everything written goes through one.
    pub async fn begin(&self) -> Result<Tx> {
        Ok(Tx(Conn(match &self.pools {
            Pools::Postgres(pool) => Inner::PostgresTx(pool.begin().await?),
            // A transaction that starts as a reader fails when it first writes after somebody
            // else did; one that starts as the writer waits its turn instead.
            Pools::Sqlite { writer, .. } => {
                Inner::SqliteTx(writer.begin_with("begin immediate").await?)
            }
        })))
    }

    /// The time, by the database's clock, in whole microseconds. Costs no query.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Asks the database for its time. To be called about once a minute.
    pub async fn measure_clock(&self) -> Result<()> {
        // SQLite has no clock of its own: it lives on this machine.
        if let Pools::Postgres(pool) = &self.pools {
            let mut conn = pool.acquire().await?;
            let asked = Clock::local();
            let (database,) = sqlx::query_as("select clock_timestamp()")
                .fetch_one(&mut *conn)
                .await?;
            self.clock.set(asked, database, Clock::local());
        }
        Ok(())
    }

    /// Connections of this process: those at rest, and all.
    pub fn connections(&self) -> (usize, usize) {
        match &self.pools {
            Pools::Postgres(pool) => (pool.num_idle(), pool.size() as usize),
            Pools::Sqlite { writer, readers } => {
                let idle = readers.num_idle() + writer.num_idle();
                (idle, (readers.size() + writer.size()) as usize)
            }
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        let mut conn = self.conn().await?;
        sql!(conn, fetch_one One<i64>, "select cast(1 as bigint)").map(|_| ())
    }

    /// Whether the server certainly is away: a connection beside the pool is refused at once.
    ///
    /// A pool tries again until the patience of its caller ends, so that a server which is away
    /// looks like one which is busy. False of SQLite, which is a file.
    pub async fn is_refused(&self) -> bool {
        let Pools::Postgres(pool) = &self.pools else {
            return false;
        };
        let connecting = pool.connect_options();
        match timeout(PROBE_TIMEOUT, connecting.connect()).await {
            Ok(Ok(conn)) => {
                // A connection that ends without a word leaves a line in the server's log.
                drop(timeout(PROBE_TIMEOUT, conn.close()).await);
                false
            }
            Ok(Err(sqlx::Error::Io(_))) => true,
            // It starts or shuts down. One that has no connection left is busy, not away.
            Ok(Err(sqlx::Error::Database(error))) => {
                error.code().is_some_and(|code| code.starts_with("57P"))
            }
            // A busy machine, perhaps.
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Whether this is SQLite, that is, an embedded system of one process.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.pools, Pools::Sqlite { .. })
    }

    /// Closes every connection; later calls fail as unavailable.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Postgres(pool) => pool.close().await,
            Pools::Sqlite { writer, readers } => {
                readers.close().await;
                // The last connection to close folds the write-ahead log into the file.
                writer.close().await;
            }
        }
    }

    /// Makes [`Db::now`] wrong by this much until the clock is measured again.
    #[cfg(feature = "testing")]
    pub fn disturb_clock(&self, by: chrono::TimeDelta) {
        self.clock.disturb(by);
    }
}

async fn connect_postgres(url: &str, connections_max: u32) -> Result<PgPool> {
    let options = PgConnectOptions::from_str(url)?
        .application_name("lyo")
        .options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "60s"),
            // Statements here name few rows by their keys, so loops over indexes are right however large
            // a table is. Left alone, PostgreSQL keeps plans that it made while tables were empty, and
            // reads them whole when they have grown.
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            // Plain scans also mark the entries of an index whose rows have left it, so that nobody reads
            // them again; bitmap scans do not.
            ("enable_bitmapscan", "off"),
            // What is off is not forbidden but very dear, so a statement that reads a table of three rows
            // would look worth a second of compiling.
            ("jit", "off"),
        ]);
    let pool = PgPoolOptions::new().max_connections(connections_max);
    Ok(pool
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|conn, about| {
            Box::pin(async move {
                if about.idle_for > TRUSTED {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await?)
}

async fn connect_sqlite(url: &str, connections_max: u32) -> Result<Pools> {
    let options = SqliteConnectOptions::from_str(url)?;
    if url.contains(":memory:") || options.get_filename() == Path::new("") {
        let reason = "name a file for SQLite: its readers and its writer share it";
        return Err(sqlx::Error::Configuration(reason.into()).into());
    }
    let options = options
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit is on disk when it returns: what was answered 202 survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT);
    // The writer comes first: it creates the file and its journal, which the readers only open.
    let writer = sqlite_pool(1).connect_with(options.clone()).await?;
    let readers = sqlite_pool(connections_max).connect_with(options.pragma("query_only", "on"));
    Ok(Pools::Sqlite {
        writer,
        readers: readers.await?,
    })
}

fn sqlite_pool(connections_max: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// A connection, or the inside of a transaction. Every query function takes `&mut Conn`.
#[derive(Debug)]
pub struct Conn(Inner);

#[derive(Debug)]
enum Inner {
    Postgres(PoolConnection<Postgres>),
    PostgresTx(Transaction<'static, Postgres>),
    Sqlite(PoolConnection<Sqlite>),
    SqliteTx(Transaction<'static, Sqlite>),
}

/// What the [`sql!`](crate::sql) macro runs a statement on.
#[doc(hidden)]
#[derive(Debug)]
pub enum Raw<'c> {
    Postgres(&'c mut PgConnection),
    Sqlite(&'c mut SqliteConnection),
}

impl Conn {
    #[doc(hidden)]
    pub fn raw(&mut self) -> Raw<'_> {
        match &mut self.0 {
            Inner::Postgres(conn) => Raw::Postgres(conn),
            Inner::PostgresTx(tx) => Raw::Postgres(tx),
            Inner::Sqlite(conn) => Raw::Sqlite(conn),
            Inner::SqliteTx(tx) => Raw::Sqlite(tx),
        }
    }
}

/// A transaction: derefs to [`Conn`], rolls back unless committed.
#[derive(Debug)]
pub struct Tx(Conn);

impl Tx {
    /// Makes everything written in the transaction true, durably, all at once.
    pub async fn commit(self) -> Result<()> {
        match self.0.0 {
            Inner::PostgresTx(tx) => tx.commit().await?,
            Inner::SqliteTx(tx) => tx.commit().await?,
            Inner::Postgres(_) | Inner::Sqlite(_) => unreachable!("begin makes transactions only"),
        }
        Ok(())
    }

    /// Forgets everything written in the transaction, and lets go of its locks before it returns.
    ///
    /// A transaction that is dropped does so in the background, a moment later: whoever passes over
    /// locked rows could still miss some.
    pub async fn rollback(self) -> Result<()> {
        match self.0.0 {
            Inner::PostgresTx(tx) => tx.rollback().await?,
            Inner::SqliteTx(tx) => tx.rollback().await?,
            Inner::Postgres(_) | Inner::Sqlite(_) => unreachable!("begin makes transactions only"),
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.0
    }
}
