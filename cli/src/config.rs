//! What an embedded system needs to know: data, database, model, worker.

use clap::Args;
use platform::config::{DataArgs, DatabaseArgs};
pub use worker::config::ModelArgs;
use worker::config::ConcurrencyArgs;

/// Everything that an embedded system needs to know.
#[derive(Clone, Debug, Args)]
pub struct SystemArgs {
    /// Where the data is.
    #[command(flatten)]
    pub data: DataArgs,

    /// Which database to use.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Which model writes.
    #[command(flatten)]
    pub model: ModelArgs,

    /// How much to do at once.
    #[command(flatten)]
    pub worker: ConcurrencyArgs,
}
