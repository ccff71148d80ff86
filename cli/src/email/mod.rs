//! Mail: how it looks before anybody gets it.

mod preview;

use clap::Subcommand;

use preview::PreviewArgs;

/// What to do with mail.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum EmailCommand {
    /// Write every letter as its reader will see it: a page and a text for each language.
    Preview(PreviewArgs),
}

/// Runs one of the commands.
///
/// # Errors
/// When the files cannot be written.
pub(crate) fn run(command: &EmailCommand) -> anyhow::Result<()> {
    match command {
        EmailCommand::Preview(args) => preview::preview(args),
    }
}
