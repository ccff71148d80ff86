//! The `lyo` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    lyo::run().await
}
