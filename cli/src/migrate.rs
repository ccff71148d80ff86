//! `lyo migrate`: bring a database to this release.

use clap::Args;
use models::db::{Db, DbOptions};
use platform::config::{DataArgs, DatabaseArgs};

/// Which database to migrate.
#[derive(Clone, Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    data: DataArgs,
}

/// Applies the migrations that are missing; doing it twice changes nothing.
///
/// # Errors
/// When the database does not answer or a migration fails.
pub(crate) async fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    let url = args.database.url(&args.data)?;
    let db = Db::connect(url.expose(), &DbOptions::default()).await?;
    db.migrate().await?;
    println!("The database is up to date.");
    Ok(())
}
