//! `lyo model bench`: what this machine can do.

use clap::Args;

/// What to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {}

/// Measures and prints a table.
///
/// # Errors
/// When a model cannot be made or run.
pub(super) fn run(_args: &BenchArgs) -> anyhow::Result<()> {
    anyhow::bail!("not measured yet")
}
