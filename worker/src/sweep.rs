//! Removes stored bytes that nobody needs any more: those of deleted files, of uploads that were
//! given up, and of processes that were killed. Every worker does it; each step finds nothing to do
//! where another was first.

use std::time::Duration;

use chrono::TimeDelta;
use models::{Db, blobs, uploads};
use platform::storage::{Digest, Storage};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often.
const PERIOD: Duration = Duration::from_mins(10);
/// Bytes that are doomed at once. Deleting them all takes less than [`blobs::DELETING`], even when
/// the storage takes its time for each.
const DOOMED_MAX: i64 = 5;
/// Steps of each sort in one period.
const STEPS_MAX: usize = 200;
/// Uploads that are looked at in one step.
const UPLOADS_MAX: i64 = 20;
/// Temporary bytes are left alone for so long: longer than the uploads that they may be part of.
const TEMPORARY: TimeDelta = TimeDelta::days(2);
/// Temporary bytes that are removed in one period.
const TEMPORARY_MAX: usize = 1_000;

/// Runs until it is stopped.
pub(crate) async fn run(db: Db, storage: Storage, stop: CancellationToken) {
    loop {
        // What is begun and not ended is found again.
        let swept = stop.run_until_cancelled(sweep(&db, &storage)).await;
        match swept {
            None => return,
            Some(Ok(0)) => {}
            Some(Ok(swept)) => info!(swept, "Removed stored bytes that nobody needs: {swept}"),
            Some(Err(error)) => warn!("Stored bytes could not be swept: {error:#}"),
        }
        if stop.run_until_cancelled(sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}

/// Everything once; answers how much was removed.
pub async fn sweep(db: &Db, storage: &Storage) -> anyhow::Result<usize> {
    let mut swept = 0;
    for _ in 0..STEPS_MAX {
        match orphans(db, storage).await? {
            0 => break,
            some => swept += some,
        }
    }
    for _ in 0..STEPS_MAX {
        match abandoned(db, storage).await? {
            0 => break,
            some => swept += some,
        }
    }
    let before = db.now() - TEMPORARY;
    Ok(swept + storage.sweep(before, TEMPORARY_MAX).await?)
}

/// Deletes bytes that nobody refers to.
async fn orphans(db: &Db, storage: &Storage) -> anyhow::Result<usize> {
    let now = db.now();
    let mut tx = db.begin().await?;
    let doomed = blobs::doom(&mut tx, DOOMED_MAX, now).await?;
    tx.commit().await?;
    for digest in &doomed {
        storage.delete(digest.parse::<Digest>()?).await?;
        let mut tx = db.begin().await?;
        blobs::forget(&mut tx, digest, now).await?;
        tx.commit().await?;
    }
    Ok(doomed.len())
}

/// Deletes uploads that have expired, with what had arrived of them.
async fn abandoned(db: &Db, storage: &Storage) -> anyhow::Result<usize> {
    let expired = uploads::expired(&mut db.conn().await?, UPLOADS_MAX, db.now()).await?;
    for upload in &expired {
        let mut tx = db.begin().await?;
        let parts = match uploads::delete(&mut tx, upload.owner_id, upload.id).await {
            Ok(parts) => parts,
            // Somebody else was first.
            Err(models::Error::NotFound(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        tx.commit().await?;
        for part in parts {
            // What stays is a temporary, which is swept by its age.
            storage.delete_part(&part.name).await?;
        }
    }
    Ok(expired.len())
}

#[cfg(test)]
mod tests {
    use models::{
        OwnerId,
        file_types::FileType,
        file_usage,
        files::{self, File, NewFile},
        on_both, sql,
        testing::TestResult,
        uploads::Part,
    };
    use tempfile::TempDir;

    use super::*;

    /// Stores a file as the API does.
    async fn stored(db: &Db, storage: &Storage, bytes: &'static [u8]) -> TestResult<File> {
        let mut incoming = storage.begin().await?;
        incoming.write(&bytes.into()).await?;
        let arrived = incoming.finish().await?;
        let new = NewFile {
            owner: OwnerId::LOCAL,
            digest: arrived.digest.to_string(),
            size: i64::try_from(arrived.size)?,
            name: "a".to_owned(),
            media_type: FileType::Text,
        };
        let mut tx = db.begin().await?;
        blobs::reserve(&mut tx, &new.digest, new.size, db.now()).await?;
        storage.keep(&arrived).await?;
        file_usage::charge(&mut tx, new.owner, new.size).await?;
        let file = files::create(&mut tx, &new, db.now()).await?;
        tx.commit().await?;
        Ok(file)
    }

    async fn is_there(storage: &Storage, file: &File) -> TestResult<bool> {
        let size = file.size_bytes.unsigned_abs();
        Ok(storage.read(file.digest.parse()?, size, None).await.is_ok())
    }

    on_both! {
        async fn only_what_nobody_needs_goes(test: &TestDb) -> TestResult {
            let (db, folder) = (&test.db, TempDir::new()?);
            let storage = Storage::folder(folder.path())?;
            let needed = stored(db, &storage, b"needed").await?;
            let deleted = stored(db, &storage, b"deleted").await?;
            let mut tx = db.begin().await?;
            files::delete(&mut tx, OwnerId::LOCAL, deleted.id, db.now()).await?;
            tx.commit().await?;

            assert_eq!(sweep(db, &storage).await?, 0, "not at once");
            db.disturb_clock(blobs::ORPHANED + TimeDelta::minutes(1));
            assert_eq!(sweep(db, &storage).await?, 1);

            assert!(is_there(&storage, &needed).await?);
            assert!(!is_there(&storage, &deleted).await?);
            let mut conn = db.conn().await?;
            let left = sql!(conn, fetch_all models::sql::One<String>, "select digest from blobs")?;
            assert_eq!(left, [(needed.digest,)]);
            // The same bytes may come again.
            stored(db, &storage, b"deleted").await?;
            Ok(())
        }

        async fn uploads_that_were_given_up_go_with_their_pieces(test: &TestDb) -> TestResult {
            let (db, folder) = (&test.db, TempDir::new()?);
            let storage = Storage::folder(folder.path())?;
            let name = storage.put_part(b"half".as_slice().into()).await?;
            let mut tx = db.begin().await?;
            let upload = uploads::create(&mut tx, OwnerId::LOCAL, "x", 8, None, db.now()).await?;
            let part = Part { offset_bytes: 0, size_bytes: 4, name: name.clone() };
            uploads::append(&mut tx, upload.id, &part).await?;
            tx.commit().await?;

            assert_eq!(sweep(db, &storage).await?, 0);
            db.disturb_clock(uploads::LIFETIME + TimeDelta::minutes(1));
            assert_eq!(sweep(db, &storage).await?, 1);

            assert!(storage.part_size(&name).await.is_err());
            let usage = file_usage::get(&mut db.conn().await?, OwnerId::LOCAL).await?;
            assert_eq!((usage.files, usage.size_bytes), (0, 0));
            Ok(())
        }
    }
}
