//! The `lyo-api` command: `lyo api` without what an API never needs.

use std::process::ExitCode;

use api::role::{self, ApiArgs};
use clap::Parser;
use platform::telemetry::{self, LogArgs};

/// Answer requests as one process of a fleet.
#[derive(Debug, Parser)]
#[command(name = "lyo-api", version)]
struct Cli {
    #[command(flatten)]
    api: ApiArgs,

    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::exit(&cli.log, "info", role::run(&cli.api)).await
}
