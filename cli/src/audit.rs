//! `lyo audit`: whether the log of who did what is as it was written.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use models::{
    audit::{self, Verdict},
    db::{Db, DbOptions},
};
use platform::config::{DataArgs, DatabaseArgs};

/// What to do with the audit log.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Look at every entry: exit with 1 when one was changed or is missing.
    Verify(VerifyArgs),
}

/// Where the audit log is.
#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs one of the commands.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify(args) = command;
    let url = args.database.url(&args.data)?;
    let db = Db::connect(url.expose(), &DbOptions::default()).await?;
    Ok(match audit::verify(&mut db.conn().await?).await? {
        Verdict::Whole { entries, hash } => {
            println!("The audit log is whole: {entries} entries, the last with the hash {hash}");
            ExitCode::SUCCESS
        }
        Verdict::Broken { seq, reason } => {
            println!("The audit log is broken at entry {seq}: {reason}");
            ExitCode::FAILURE
        }
    })
}
