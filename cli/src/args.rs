//! The commands, and what they answer to the shell.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use platform::telemetry::{self, LogArgs};

#[cfg(unix)]
use crate::chaos;
use crate::{audit, course, dev, email, migrate, model, thumbnail, user};
use api::role::ApiArgs;
use worker::role::WorkerArgs;

/// Write courses on this machine: a topic goes in, lessons and quizzes come out.
#[derive(Debug, Parser)]
#[command(name = "lyo", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a course about a topic and watch it happen.
    Course(Box<course::CourseArgs>),
    /// Run the whole system in one process: API, worker and database.
    Dev(Box<dev::DevArgs>),
    /// Answer requests as one process of a fleet, over PostgreSQL and Redis.
    Api(Box<ApiArgs>),
    /// Run tasks as one process of a fleet, over PostgreSQL and Redis.
    Worker(Box<WorkerArgs>),
    /// Break a private fleet at random, and prove that nothing was lost.
    #[cfg(unix)]
    Chaos(chaos::ChaosArgs),
    /// Look at the mail that lyo sends.
    #[command(subcommand)]
    Email(email::EmailCommand),
    /// Make the variants of images, as the platform makes them.
    Thumbnail(thumbnail::ThumbnailArgs),
    /// Make accounts, give them roles, and print tokens for them.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Look at the log of who did what.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Bring the database to this release.
    Migrate(migrate::MigrateArgs),
    /// Print the OpenAPI document of the API.
    Openapi,
    /// Fetch, describe or measure a model.
    #[command(subcommand)]
    Model(model::ModelCommand),
}

impl Command {
    /// What is logged when nobody says: a server tells what it does; a command shows its warnings
    /// itself.
    fn log_filter(&self) -> &'static str {
        match self {
            Self::Dev(_) | Self::Api(_) | Self::Worker(_) => "info",
            #[cfg(unix)]
            Self::Chaos(_) => "warn,lyo::chaos=info",
            _ => "error",
        }
    }
}

/// Runs the command of this process: 0 is success, 1 a failure, 2 a wrong usage, 130 Ctrl-C.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    let result = match telemetry::init(&cli.log, cli.command.log_filter()) {
        Ok(()) => execute(cli.command).await,
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Course(args) => return course::run(&args).await,
        Command::Dev(args) => return dev::run(&args).await,
        Command::Api(args) => api::role::run(&args).await?,
        Command::Worker(args) => worker::role::run(&args).await?,
        #[cfg(unix)]
        Command::Chaos(args) => return chaos::run(&args).await,
        Command::Email(command) => email::run(&command)?,
        Command::Thumbnail(args) => return thumbnail::run(&args).await,
        Command::Audit(command) => return audit::run(&command).await,
        Command::User(command) => user::run(command).await?,
        Command::Migrate(args) => migrate::run(&args).await?,
        Command::Openapi => println!("{}", api::spec()),
        Command::Model(command) => model::run(command).await?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }
}
