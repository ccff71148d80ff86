//! What an embedded system needs to know: data, database, model, worker.

use api::{IdentityArgs, NetworkArgs, OperatorArgs, PasswordArgs, WebhookArgs};
use clap::Args;
use platform::{
    config::{DataArgs, DatabaseArgs},
    storage::StorageArgs,
};
use worker::config::ConcurrencyArgs;
pub use worker::config::ModelArgs;
use worker::mailer::EmailArgs;

/// Everything that an embedded system needs to know.
#[derive(Clone, Debug, Args)]
pub struct SystemArgs {
    /// Where the data is.
    #[command(flatten)]
    pub data: DataArgs,

    /// Which database to use.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Where files lie.
    #[command(flatten)]
    pub storage: StorageArgs,

    /// Which model writes.
    #[command(flatten)]
    pub model: ModelArgs,

    /// How much to do at once.
    #[command(flatten)]
    pub worker: ConcurrencyArgs,

    /// How mail leaves.
    #[command(flatten)]
    pub email: EmailArgs,

    /// By which tokens callers are known.
    #[command(flatten)]
    pub identity: IdentityArgs,

    /// Which passwords cannot be chosen.
    #[command(flatten)]
    pub passwords: PasswordArgs,

    /// What the network around it is like.
    #[command(flatten)]
    pub network: NetworkArgs,

    /// Who may operate it.
    #[command(flatten)]
    pub operator: OperatorArgs,

    /// Whose events it believes.
    #[command(flatten)]
    pub webhooks: WebhookArgs,
}
