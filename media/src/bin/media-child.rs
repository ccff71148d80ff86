//! The decoding process alone: what tests and measurements start.

use std::process::ExitCode;

fn main() -> ExitCode {
    media::child::main().unwrap_or(ExitCode::FAILURE)
}
