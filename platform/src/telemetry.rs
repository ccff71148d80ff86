//! Logs: text for people at a terminal, one JSON object a line for machines.

use std::{
    io::{IsTerminal, stderr},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text when standard error is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// What is logged, and how. Logs go to standard error.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// What to log: a level, or targets as in `info,jobs=debug`. `RUST_LOG` works too.
    #[arg(long, global = true, value_name = "FILTER", env = "LYO_LOG")]
    log: Option<String>,

    /// What to log, as most Rust programs call it.
    #[arg(long, global = true, hide = true, env = "RUST_LOG")]
    rust_log: Option<String>,

    /// How to write log lines.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        env = "LYO_LOG_FORMAT"
    )]
    log_format: Format,
}

/// Starts logging for the whole process; `quiet` is the filter when nobody asked for another.
///
/// # Errors
/// When the filter cannot be read, or when logging was started before.
pub fn init(args: &LogArgs, quiet: &str) -> anyhow::Result<()> {
    let filter = args
        .log
        .as_deref()
        .or(args.rust_log.as_deref())
        .unwrap_or(quiet);
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("`{filter}` is not a log filter (LYO_LOG or RUST_LOG)"))?;
    let json = match args.log_format {
        Format::Json => true,
        Format::Text => false,
        Format::Auto => !stderr().is_terminal(),
    };
    let subscriber = fmt().with_env_filter(filter).with_writer(stderr);
    let started = if json {
        subscriber.json().flatten_event(true).try_init()
    } else {
        subscriber
            .with_target(false)
            .with_ansi(stderr().is_terminal())
            .try_init()
    };
    started.map_err(|error| anyhow::anyhow!("logging could not start: {error}"))
}

/// Starts logging, runs a command, and answers to the shell: 0 is success, 1 a failure.
pub async fn exit(
    args: &LogArgs,
    quiet: &str,
    command: impl Future<Output = anyhow::Result<()>>,
) -> ExitCode {
    let result = match init(args, quiet) {
        Ok(()) => command.await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
