//! Removes what uploads that were killed have left under temporary names.

use std::{path::Path, time::SystemTime};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use tokio::fs;
use tracing::warn;

use super::{Result, Storage, step};

impl Storage {
    /// Removes temporary bytes that were last written before `before`, at most `limit` of them;
    /// answers how many.
    pub async fn sweep(&self, before: DateTime<Utc>, limit: usize) -> Result<usize> {
        // The folder also has what never got a name, which the store does not list.
        if let Some(folder) = &self.folder {
            let folder = folder.join("incoming");
            return sweep_folder(&folder, before.into(), limit).await;
        }
        let mut listed = self.store.list(Some(&self.temporary("")));
        let mut swept = 0;
        while swept < limit {
            let Some(found) = step(listed.try_next()).await? else {
                break;
            };
            if found.last_modified >= before {
                continue;
            }
            match self.remove(&found.location).await {
                Ok(()) => swept += 1,
                // One that cannot be removed stands in no other's way.
                Err(error) => warn!(%error, "Temporary bytes stay: {error}"),
            }
        }
        Ok(swept)
    }
}

async fn sweep_folder(folder: &Path, before: SystemTime, limit: usize) -> Result<usize> {
    let mut entries = match fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut swept = 0;
    while swept < limit {
        let Some(entry) = entries.next_entry().await? else {
            break;
        };
        // It may have been renamed in the meantime.
        let Ok(found) = entry.metadata().await else {
            continue;
        };
        if found.is_file()
            && found.modified()? < before
            && fs::remove_file(entry.path()).await.is_ok()
        {
            swept += 1;
        }
    }
    Ok(swept)
}
