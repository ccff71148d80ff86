//! Removes stored bytes that nobody needs any more: those of deleted files, of uploads that were
//! given up, and of processes that were killed. Every worker does it; each step finds nothing to do
//! where another was first.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use models::{Db, blobs, uploads};
use platform::storage::{Digest, Storage};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often.
const PERIOD: Duration = Duration::from_mins(10);
/// How long until the next look where there was more to remove than one look removes.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are doomed, and deleted, at once. That takes less than [`blobs::DELETING`], even when
/// the storage takes its time.
const DOOMED_MAX: i64 = 16;
/// Steps of each sort in one look.
const STEPS_MAX: usize = 200;
/// Uploads that are looked at in one step.
const UPLOADS_MAX: i64 = 20;
/// Temporary bytes are left alone for so long: longer than the uploads that they may be part of.
const TEMPORARY: TimeDelta = TimeDelta::days(2);
/// Temporary bytes that are removed in one look.
const TEMPORARY_MAX: usize = 1_000;

/// What one look has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How much.
    pub removed: usize,
    /// Whether there may be more.
    pub more: bool,
}

/// Runs until it is stopped.
pub(crate) async fn run(db: Db, storage: Storage, stop: CancellationToken) {
    loop {
        // What is begun and not ended is found again.
        let Some(swept) = stop.run_until_cancelled(sweep(&db, &storage)).await else {
            return;
        };
        if swept.removed > 0 {
            let removed = swept.removed;
            info!(removed, "Removed stored bytes that nobody needs: {removed}");
        }
        let pause = if swept.more { PAUSE } else { PERIOD };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// One look at everything. What goes wrong with one sort keeps nothing of the others.
pub async fn sweep(db: &Db, storage: &Storage) -> Swept {
    let mut all = Swept::default();
    for (what, swept) in [
        ("Stored bytes", orphans(db, storage).await),
        ("Uploads", abandoned(db, storage).await),
        ("Temporary bytes", temporaries(db, storage).await),
    ] {
        match swept {
            Ok(swept) => {
                all.removed += swept.removed;
                all.more |= swept.more;
            }
            Err(error) => warn!("{what} could not be swept: {error:#}"),
        }
    }
    all
}

/// Deletes bytes that nobody refers to.
async fn orphans(db: &Db, storage: &Storage) -> anyhow::Result<Swept> {
    let mut removed = 0;
    for _ in 0..STEPS_MAX {
        let now = db.now();
        let mut tx = db.begin().await?;
        let looked = blobs::doom(&mut tx, DOOMED_MAX, now).await?;
        tx.commit().await?;
        let deleting = looked.doomed.iter();
        let deleting = deleting.map(|digest| delete(db, storage, digest, now));
        let mut gone = 0;
        for deleted in join_all(deleting).await {
            match deleted {
                Ok(()) => gone += 1,
                Err(error) => warn!("Bytes that nobody needs stay for now: {error:#}"),
            }
        }
        removed += gone;
        // Where nothing at all can be deleted, the storage is away.
        if !looked.more || (gone == 0 && !looked.doomed.is_empty()) {
            return Ok(Swept {
                removed,
                more: false,
            });
        }
    }
    Ok(Swept {
        removed,
        more: true,
    })
}

/// Deletes doomed bytes, or has them tried again later.
async fn delete(
    db: &Db,
    storage: &Storage,
    digest: &str,
    doomed_at: DateTime<Utc>,
) -> anyhow::Result<()> {
    let deleted = storage.delete(digest.parse::<Digest>()?).await;
    let mut tx = db.begin().await?;
    match &deleted {
        Ok(()) => drop(blobs::forget(&mut tx, digest, doomed_at).await?),
        Err(_) => blobs::postpone(&mut tx, digest, doomed_at).await?,
    }
    tx.commit().await?;
    deleted.with_context(|| digest.to_owned())
}

/// Deletes uploads that have expired, with what had arrived of them.
async fn abandoned(db: &Db, storage: &Storage) -> anyhow::Result<Swept> {
    let mut removed = 0;
    for _ in 0..STEPS_MAX {
        let now = db.now();
        let expired = uploads::expired(&mut db.conn().await?, UPLOADS_MAX, now).await?;
        for upload in &expired {
            let mut tx = db.begin().await?;
            let names = match uploads::delete(&mut tx, upload.owner_id, upload.id, now).await {
                Ok(names) => names,
                // Somebody else was first.
                Err(models::Error::NotFound(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            tx.commit().await?;
            removed += 1;
            for name in names {
                if let Err(error) = storage.delete_part(&name).await {
                    warn!(%error, "A piece of an upload stays until it is too old: {error}");
                }
            }
        }
        if expired.len() < usize::try_from(UPLOADS_MAX)? {
            return Ok(Swept {
                removed,
                more: false,
            });
        }
    }
    Ok(Swept {
        removed,
        more: true,
    })
}

/// Removes what processes that were killed have left.
async fn temporaries(db: &Db, storage: &Storage) -> anyhow::Result<Swept> {
    let removed = storage.sweep(db.now() - TEMPORARY, TEMPORARY_MAX).await?;
    Ok(Swept {
        removed,
        more: removed >= TEMPORARY_MAX,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use models::{
        OwnerId,
        file_types::FileType,
        file_usage,
        files::{self, File, NewFile},
        on_both, sql,
        testing::{self, TestResult},
        uploads::Part,
    };
    use tempfile::TempDir;

    use super::*;

    async fn stored(db: &Db, storage: &Storage, bytes: &'static [u8]) -> TestResult<File> {
        let mut incoming = storage.begin().await?;
        incoming.write(&bytes.into()).await?;
        let arrived = incoming.finish().await?;
        storage.keep(&arrived).await?;
        let new = NewFile {
            owner: OwnerId::LOCAL,
            digest: arrived.digest.to_string(),
            size: i64::try_from(arrived.size)?,
            name: "a".to_owned(),
            media_type: FileType::Text,
        };
        testing::file(db, &new).await
    }

    async fn is_there(storage: &Storage, file: &File) -> TestResult<bool> {
        let size = file.size_bytes.unsigned_abs();
        Ok(storage.read(file.digest.parse()?, size, None).await.is_ok())
    }

    async fn removed(db: &Db, storage: &Storage) -> usize {
        let swept = sweep(db, storage).await;
        assert!(!swept.more);
        swept.removed
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

            assert_eq!(removed(db, &storage).await, 0, "not at once");
            db.disturb_clock(blobs::ORPHANED + TimeDelta::minutes(1));
            assert_eq!(removed(db, &storage).await, 1);

            assert!(is_there(&storage, &needed).await?);
            assert!(!is_there(&storage, &deleted).await?);
            let mut conn = db.conn().await?;
            let left = sql!(conn, fetch_all models::sql::One<String>, "select digest from blobs")?;
            assert_eq!(left, [(needed.digest,)]);
            // The same bytes may come again.
            stored(db, &storage, b"deleted").await?;
            Ok(())
        }

        async fn bytes_that_cannot_be_deleted_stop_nothing_else(test: &TestDb) -> TestResult {
            let (db, folder) = (&test.db, TempDir::new()?);
            let storage = Storage::folder(folder.path())?;
            let mut tx = db.begin().await?;
            for n in 0..40 {
                let digest = Digest::of(&[n]).to_string();
                if n == 7 {
                    // A folder is not deleted as a file.
                    let path = folder.path().join("kept").join(&digest[..2]).join(&digest[2..]);
                    fs::create_dir_all(path)?;
                }
                blobs::reserve(&mut tx, &digest, 1, db.now()).await?;
            }
            uploads::create(&mut tx, OwnerId::LOCAL, "x", 8, None, db.now()).await?;
            tx.commit().await?;

            db.disturb_clock(uploads::LIFETIME + TimeDelta::minutes(1));
            assert_eq!(removed(db, &storage).await, 39 + 1);

            let mut conn = db.conn().await?;
            let left = sql!(conn, fetch_all models::sql::One<String>, "select digest from blobs")?;
            assert_eq!(left, [(Digest::of(&[7]).to_string(),)]);
            drop(conn);
            assert_eq!(removed(db, &storage).await, 0, "it is tried again later");
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

            assert_eq!(removed(db, &storage).await, 0);
            db.disturb_clock(uploads::LIFETIME + TimeDelta::minutes(1));
            assert_eq!(removed(db, &storage).await, 1);

            assert!(storage.part_size(&name).await.is_err());
            let usage = file_usage::get(&mut db.conn().await?, OwnerId::LOCAL).await?;
            assert_eq!((usage.files, usage.size_bytes), (0, 0));
            Ok(())
        }
    }
}
