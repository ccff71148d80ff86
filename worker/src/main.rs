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

fn main() -> ExitCode {
    // Images are decoded by this program too, in a process without threads or configuration.
    media::child::main().unwrap_or_else(run)
}

#[tokio::main]
async fn run() -> ExitCode {
    let cli = Cli::parse();
    telemetry::exit(&cli.log, "info", role::run(&cli.worker)).await
}
