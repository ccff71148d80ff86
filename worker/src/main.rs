//! The `lyo-worker` command: `lyo worker` alone.

use std::process::ExitCode;

use clap::Parser;
use platform::telemetry::{self, LogArgs};
use worker::role::{self, WorkerArgs};

/// Run tasks as one process of a fleet.
#[derive(Debug, Parser)]
#[command(name = "lyo-worker", version)]
struct Cli {
    #[command(flatten)]
    worker: WorkerArgs,

    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::exit(&cli.log, "info", role::run(&cli.worker)).await
}
