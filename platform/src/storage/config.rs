//! Where files lie, as the environment says.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Storage;
use crate::config::DataArgs;

/// Where files lie.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Files")]
pub struct StorageArgs {
    /// Where files lie: a folder, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`. Processes on several
    /// machines need a bucket. The rest is as usual for its kind: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_REGION` and `AWS_ENDPOINT_URL` (R2 and others), or
    /// `GOOGLE_APPLICATION_CREDENTIALS`
    /// [default: `files` in the data folder]
    #[arg(long, value_name = "PLACE", env = "LYO_FILES")]
    files: Option<String>,
}

impl StorageArgs {
    /// Opens the place that was asked for, or the folder `files` in the data folder.
    ///
    /// # Errors
    /// When the folder cannot be made, or the address or the configuration of a bucket is wrong.
    pub fn open(&self, data: &DataArgs) -> anyhow::Result<Storage> {
        let folder: PathBuf = match &self.files {
            Some(place) if place.contains("://") => return Ok(Storage::bucket(place, &[])?),
            Some(folder) => folder.into(),
            None => data.folder()?.join("files"),
        };
        Storage::folder(&folder)
            .with_context(|| format!("files cannot lie in {}: see LYO_FILES", folder.display()))
    }
}
