//! Drives load at a server over HTTP and measures what comes back; `bench/run` is the way in.

mod compare;
mod drain;
mod due;
mod fair;
mod history;
mod http;
mod idle;
mod latency;
mod load;
mod polls;
mod process;
mod row;
mod submits;
mod thumbnails;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// What is measured.
#[derive(Debug, Parser)]
struct Cli {
    /// The access token of the caller, where one is asked for.
    #[arg(long, env = "BENCH_TOKEN", hide_env_values = true)]
    token: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures a system as one row of the table.
    Compare(compare::Args),
    /// Submits many tasks that are due at one moment, and looks at the memory of Redis.
    Due(due::Args),
    /// Compares the cost of submits and claims before and after a long history.
    History(history::Args),
    /// Measures how long few tasks wait beside many of another owner, and how even owners get on.
    Fair(fair::Args),
    /// Measures what very many clients cost that wait, and those that never finish a request.
    Idle(idle::Args),
    /// Makes thumbnails of photographs with one worker, and then with two.
    Thumbnails(thumbnails::Args),
}

/// A system to measure.
#[derive(Debug, Args)]
struct System {
    /// The port of this machine on which its API listens.
    #[arg(long)]
    port: u16,

    /// The shell command that runs its API in the foreground.
    #[arg(long)]
    api: String,

    /// The shell command that runs one worker in the foreground; none when the API does the work.
    #[arg(long)]
    worker: Option<String>,

    /// Connections that ask at the same time.
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

// One thread: the driver shares the cores with what it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(token) = &cli.token {
        http::sign_in(token);
    }
    match cli.command {
        Command::Compare(args) => compare::run(&args).await,
        Command::Due(args) => due::run(&args).await,
        Command::History(args) => history::run(&args).await,
        Command::Fair(args) => fair::run(&args).await,
        Command::Idle(args) => idle::run(&args).await,
        Command::Thumbnails(args) => thumbnails::run(&args).await,
    }
}
