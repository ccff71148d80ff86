//! A fresh database for every test, on SQLite and on PostgreSQL.
//!
//! `LYO_TEST_POSTGRES` names a server on which databases may be created: `scripts/test` starts one.

use std::error::Error;

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    blobs,
    db::{Db, DbOptions},
    file_usage,
    files::{self, File, NewFile},
};

/// What a test body returns: `?` works on any error.
pub type TestResult<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// A migrated database of its own; dropped with everything in it by [`TestDb::close`].
#[derive(Debug)]
pub struct TestDb {
    /// The handle, open.
    pub db: Db,
    /// Its address, for a second handle or a child process.
    pub url: String,
    home: Home,
}

#[derive(Debug)]
enum Home {
    Folder(#[expect(dead_code, reason = "held so that the folder lives")] TempDir),
    Server { server: String, name: String },
}

impl TestDb {
    /// A new SQLite file in a folder of its own.
    pub async fn sqlite() -> TestResult<Self> {
        let folder = TempDir::new()?;
        let url = format!("sqlite://{}", folder.path().join("lyo.db").display());
        Self::open(url, Home::Folder(folder)).await
    }

    /// A new database on the PostgreSQL server for tests.
    pub async fn postgres() -> TestResult<Self> {
        let server = postgres_server()?;
        let name = format!("lyo_test_{}", Uuid::now_v7().simple());
        on_server(&server, format!("create database {name}")).await?;
        let (base, _) = server
            .rsplit_once('/')
            .ok_or("LYO_TEST_POSTGRES must name a database")?;
        let url = format!("{base}/{name}");
        Self::open(url, Home::Server { server, name }).await
    }

    async fn open(url: String, home: Home) -> TestResult<Self> {
        let db = Db::connect(&url, &DbOptions::default()).await?;
        db.migrate().await?;
        Ok(Self { db, url, home })
    }

    /// Drops the database. After a failed test it stays, for whoever wants to look at it.
    pub async fn close(self) -> TestResult {
        self.db.close().await;
        if let Home::Server { server, name } = &self.home {
            on_server(
                server,
                format!("drop database if exists {name} with (force)"),
            )
            .await?;
        }
        Ok(())
    }
}

/// Stores a file whose bytes are in the storage, as the API does.
pub async fn file(db: &Db, new: &NewFile) -> TestResult<File> {
    let mut tx = db.begin().await?;
    blobs::reserve(&mut tx, &new.digest, new.size, db.now()).await?;
    file_usage::charge(&mut tx, new.owner, new.size).await?;
    let file = files::create(&mut tx, new, db.now()).await?;
    tx.commit().await?;
    Ok(file)
}

/// Where the PostgreSQL server for tests is; an error that says what to do when there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no command line to configure them"
)]
fn postgres_server() -> TestResult<String> {
    std::env::var("LYO_TEST_POSTGRES").map_err(|_| {
        "LYO_TEST_POSTGRES is not set: run the tests with scripts/test, which starts PostgreSQL"
            .into()
    })
}

async fn on_server(server: &str, statement: String) -> TestResult {
    let mut conn = PgConnection::connect(server).await?;
    // The name is ours, and a database name cannot be an argument.
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut conn)
        .await?;
    conn.close().await?;
    Ok(())
}

/// Runs each test body on SQLite and on PostgreSQL: `name::sqlite` and `name::postgres`.
///
/// The bodies take `db: &Db` or `test: &TestDb` and return [`TestResult`].
#[macro_export]
macro_rules! on_both {
    (async fn $name:ident($db:ident: &Db) -> $result:ty $body:block $($rest:tt)*) => {
        $crate::on_both! { @ $name, test, $result, { let $db: &Db = &test.db; $body } }
        $crate::on_both! { $($rest)* }
    };
    (async fn $name:ident($test:ident: &TestDb) -> $result:ty $body:block $($rest:tt)*) => {
        $crate::on_both! { @ $name, $test, $result, $body }
        $crate::on_both! { $($rest)* }
    };
    (@ $name:ident, $test:ident, $result:ty, $body:block) => {
        mod $name {
            use super::*;

            async fn body($test: &$crate::testing::TestDb) -> $result $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() -> $result {
                let test = $crate::testing::TestDb::sqlite().await?;
                body(&test).await?;
                test.close().await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() -> $result {
                let test = $crate::testing::TestDb::postgres().await?;
                body(&test).await?;
                test.close().await
            }
        }
    };
    () => {};
}
