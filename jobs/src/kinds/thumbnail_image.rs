//! Make the variants of a picture.

use std::time::Duration;

use chrono::{DateTime, Utc};
use models::{
    Error, FileId, Result, Tx, files,
    sizes::{self, Named, SIZES_MAX},
};
use serde::{Deserialize, Serialize};

use crate::{
    job::{Job, Queue},
    retry::Retry,
    store::{self, Options},
    task::Task,
};

/// Make variants of a picture, each in every format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailImage {
    /// The file.
    pub file_id: FileId,
    /// The sizes: 1 to 8.
    pub sizes: Vec<Named>,
}

impl Job for ThumbnailImage {
    const KIND: &'static str = "image.thumbnail";
    const QUEUE: Queue = Queue::Media;
    // A picture that cannot be read fails at once; what is tried again is the storage.
    const RETRY: Retry = Retry::attempts(5);
    // Fetching, two tries of a process at a minute each, and storing.
    const TIMEOUT: Duration = Duration::from_mins(3);

    fn subject(&self) -> Option<String> {
        Some(format!("files/{}", self.file_id))
    }

    fn check(&self) -> Result<()> {
        if !(1..=SIZES_MAX).contains(&self.sizes.len()) {
            return Err(Error::invalid("/sizes", "must be 1 to 8"));
        }
        self.sizes.iter().try_for_each(|named| named.size.check())
    }
}

impl ThumbnailImage {
    /// Enqueues the task that makes these sizes of a file, and names it at the file.
    pub async fn submit(
        tx: &mut Tx,
        file_id: FileId,
        sizes: Vec<Named>,
        options: Options,
        now: DateTime<Utc>,
    ) -> Result<Task> {
        let job = Self { file_id, sizes };
        job.check()?;
        let task = store::enqueue(tx, &job, options, now).await?;
        files::attach(tx, file_id, task.id).await?;
        Ok(task)
    }

    /// Enqueues the task that makes what is made of every picture.
    pub async fn submit_standard(
        tx: &mut Tx,
        file_id: FileId,
        options: Options,
        now: DateTime<Utc>,
    ) -> Result<Task> {
        Self::submit(tx, file_id, sizes::standard(), options, now).await
    }
}
