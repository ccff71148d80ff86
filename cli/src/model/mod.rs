//! `lyo model`: fetch, describe and measure models.

mod bench;
mod info;
mod pull;

use clap::{Args, Subcommand};
use platform::config::DataArgs;

use crate::config::ModelArgs;

/// What to do with a model.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Download a model and verify it, so that it works offline from then on.
    Pull(ModelChoice),
    /// Load a model and say what it is.
    Info(ModelChoice),
    /// Measure speed and memory with random weights of the true shapes.
    Bench(bench::BenchArgs),
}

/// A model, and where it is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelChoice {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs one of the commands.
///
/// # Errors
/// When the model cannot be had, with what to do about it.
pub(crate) async fn run(command: ModelCommand) -> anyhow::Result<()> {
    match command {
        ModelCommand::Pull(choice) => pull::pull(&choice).await.map(|_| ()),
        ModelCommand::Info(choice) => info::info(&choice).await,
        ModelCommand::Bench(args) => bench::run(&args).await,
    }
}
