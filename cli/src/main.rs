//! The `lyo` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Images are decoded by this program too, in a process without threads or configuration.
    media::child::main().unwrap_or_else(run)
}

#[tokio::main]
async fn run() -> ExitCode {
    lyo::run().await
}
