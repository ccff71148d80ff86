//! One suite for every place: a folder, and a bucket of a server that speaks S3.

mod s3;

use std::{
    error::Error as StdError,
    fs, io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt;
use platform::storage::{Arrived, Digest, Error, Storage};
use tempfile::TempDir;

use crate::s3::Server;

type TestResult<T = ()> = Result<T, Box<dyn StdError + Send + Sync>>;

/// A place, and what keeps it there.
struct Place {
    storage: Storage,
    folder: TempDir,
    _server: Option<Server>,
}

impl Place {
    fn folder() -> TestResult<Self> {
        let folder = TempDir::new()?;
        Ok(Self {
            storage: Storage::folder(&folder.path().join("files"))?,
            folder,
            _server: None,
        })
    }

    async fn bucket() -> TestResult<Self> {
        let folder = TempDir::new()?;
        let server = Server::start(folder.path()).await?;
        Ok(Self {
            storage: server.storage("s3://bucket/some/prefix")?,
            folder,
            _server: Some(server),
        })
    }
}

macro_rules! everywhere {
    (async fn $name:ident($storage:ident: &Storage) -> $result:ty $body:block $($rest:tt)*) => {
        mod $name {
            use super::*;

            async fn body($storage: &Storage) -> $result $body

            #[tokio::test]
            async fn folder() -> $result {
                body(&Place::folder()?.storage).await
            }

            #[tokio::test]
            async fn s3() -> $result {
                body(&Place::bucket().await?.storage).await
            }
        }
        everywhere! { $($rest)* }
    };
    () => {};
}

/// The time by the clock of the place, which is this machine.
fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// Bytes that differ from place to place.
fn noise(length: usize) -> Vec<u8> {
    (0..length)
        .map(|n| u8::try_from((n * n / 7 + n / 251) % 256).unwrap_or_default())
        .collect()
}

async fn arrive(storage: &Storage, bytes: &[u8]) -> TestResult<Arrived> {
    let mut incoming = storage.begin().await?;
    for chunk in bytes.chunks(100_000) {
        incoming.write(&Bytes::copy_from_slice(chunk)).await?;
    }
    Ok(incoming.finish().await?)
}

async fn read(storage: &Storage, digest: Digest, size: u64) -> Result<Vec<u8>, Error> {
    let chunks: Vec<Bytes> = storage
        .read(digest, size, None)
        .await?
        .try_collect()
        .await?;
    Ok(chunks.concat())
}

everywhere! {
    async fn what_was_kept_is_read_by_its_digest(storage: &Storage) -> TestResult {
        // More than two parts, the last of them short.
        for length in [0, 1, 100_000, 11 * 1024 * 1024 + 7] {
            let bytes = noise(length);

            let arrived = arrive(storage, &bytes).await?;
            assert_eq!(arrived.digest, Digest::of(&bytes));
            assert_eq!(arrived.size, length as u64);
            assert!(bytes.starts_with(&arrived.head));
            let early = read(storage, arrived.digest, length as u64).await;
            assert!(length == 0 || matches!(early, Err(Error::NotFound)), "not yet");
            storage.keep(&arrived).await?;

            assert_eq!(read(storage, arrived.digest, length as u64).await?, bytes);
        }
        Ok(())
    }

    async fn ranges_are_exact(storage: &Storage) -> TestResult {
        let bytes = noise(200_000);
        let arrived = arrive(storage, &bytes).await?;
        storage.keep(&arrived).await?;

        for range in [0..1, 0..200_000, 199_999..200_000, 70_000..140_001, 5..5] {
            let part = storage.read(arrived.digest, 200_000, Some(range.clone())).await?;
            let part: Vec<Bytes> = part.try_collect().await?;
            let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
            assert!(part.concat() == bytes[start..end], "{range:?}");
        }
        Ok(())
    }

    async fn another_size_is_noticed(storage: &Storage) -> TestResult {
        let arrived = arrive(storage, &noise(1_000)).await?;
        storage.keep(&arrived).await?;

        let wrong = read(storage, arrived.digest, 999).await;

        assert!(matches!(wrong, Err(Error::Corrupt(_))), "{wrong:?}");
        Ok(())
    }

    async fn a_copy_on_this_machine_is_verified(storage: &Storage) -> TestResult {
        let bytes = noise(300_000);
        let arrived = arrive(storage, &bytes).await?;
        storage.keep(&arrived).await?;
        let folder = TempDir::new()?;

        let to = folder.path().join("copy");
        storage.fetch(arrived.digest, 300_000, &to).await?;

        assert!(std::fs::read(&to)? == bytes);
        let nothing = storage.fetch(Digest::of(b"?"), 1, &folder.path().join("none")).await;
        assert!(matches!(nothing, Err(Error::NotFound)), "{nothing:?}");
        Ok(())
    }

    async fn the_same_bytes_may_come_twice_and_go_once(storage: &Storage) -> TestResult {
        let bytes = noise(5_000);
        let (first, second) = (arrive(storage, &bytes).await?, arrive(storage, &bytes).await?);

        storage.keep(&first).await?;
        storage.keep(&second).await?;
        assert_eq!(read(storage, first.digest, 5_000).await?, bytes);
        storage.delete(first.digest).await?;
        storage.delete(first.digest).await?;

        let gone = read(storage, first.digest, 5_000).await;
        assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
        Ok(())
    }

    async fn what_nobody_keeps_is_swept(storage: &Storage) -> TestResult {
        let kept = arrive(storage, b"kept").await?;
        storage.keep(&kept).await?;
        let discarded = arrive(storage, b"discarded").await?;
        storage.discard(&discarded).await?;
        let part = storage.put_part(Bytes::from_static(b"part")).await?;
        arrive(storage, b"forgotten").await?;

        let young = storage.sweep(now() - TimeDelta::hours(1), 10).await?;
        assert_eq!(young, 0);
        let read_back: Vec<Bytes> = storage.read_part(&part).await?.try_collect().await?;
        assert_eq!(read_back.concat(), b"part");
        assert_eq!(storage.part_size(&part).await?, 4);
        let later = now() + TimeDelta::hours(1);
        assert_eq!(storage.sweep(later, 1).await?, 1, "no more than asked for");
        assert_eq!(storage.sweep(later, 10).await?, 1);

        assert_eq!(read(storage, kept.digest, 4).await?, b"kept");
        assert!(matches!(storage.read_part(&part).await.err(), Some(Error::NotFound)));
        Ok(())
    }
}

/// Every file in a folder whose path contains this, at any depth.
fn files(folder: &Path, part: &str) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            count += files(&path, part)?;
        } else if path.to_string_lossy().contains(part) {
            count += 1;
        }
    }
    Ok(count)
}

/// Waits until there are so many of these files.
async fn counted(place: &Place, part: &str, count: usize) -> TestResult {
    let counting = async {
        while files(place.folder.path(), part)? != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(20), counting).await?
}

#[tokio::test]
async fn an_upload_that_is_aborted_or_dropped_leaves_nothing_in_a_folder() -> TestResult {
    for aborts in [true, false] {
        let place = Place::folder()?;
        let mut incoming = place.storage.begin().await?;
        incoming.write(&Bytes::from(noise(6 * 1024 * 1024))).await?;
        assert_eq!(files(place.folder.path(), "incoming")?, 1);
        if aborts {
            incoming.abort().await;
        } else {
            drop(incoming);
        }
        counted(&place, "incoming", 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_that_is_aborted_or_dropped_leaves_nothing_in_a_bucket() -> TestResult {
    for aborts in [true, false] {
        let place = Place::bucket().await?;
        let mut incoming = place.storage.begin().await?;
        incoming.write(&Bytes::from(noise(6 * 1024 * 1024))).await?;
        // The server has a part of it.
        counted(&place, ".part-", 1).await?;
        if aborts {
            incoming.abort().await;
        } else {
            drop(incoming);
        }
        counted(&place, ".upload", 0).await?;
        counted(&place, "incoming", 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_others_put_into_a_bucket_is_fetched_by_its_digest() -> TestResult {
    let place = Place::bucket().await?;
    let folder = place.folder.path().join("bucket/some/prefix/models");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("a.gguf"), b"weights")?;
    let to = place.folder.path().join("fetched");
    let (digest, told) = (Digest::of(b"weights"), AtomicU64::default());

    let wrong = Digest::of(b"others");
    let refused = place
        .storage
        .download("models/a.gguf", wrong, &to, |_, _| ())
        .await;
    assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
    assert!(!to.exists());
    let tell = |bytes, total| told.store(bytes * 100 + total, Ordering::Relaxed);
    place
        .storage
        .download("models/a.gguf", digest, &to, tell)
        .await?;

    assert_eq!(std::fs::read(&to)?, b"weights");
    assert_eq!(told.into_inner(), 707);
    let missing = place
        .storage
        .download("b.gguf", digest, &to, |_, _| ())
        .await;
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");
    Ok(())
}

#[tokio::test]
async fn half_of_an_upload_that_was_killed_is_swept_from_a_folder() -> TestResult {
    let folder = TempDir::new()?;
    let storage = Storage::folder(folder.path())?;
    // What a process that is killed leaves.
    let incoming = folder.path().join("incoming");
    std::fs::create_dir_all(&incoming)?;
    std::fs::write(incoming.join("0199#1"), b"half")?;

    let swept = storage.sweep(now() + TimeDelta::hours(1), 10).await?;

    assert_eq!(swept, 1);
    assert_eq!(std::fs::read_dir(&incoming)?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn damaged_bytes_are_never_taken_for_the_right_ones() -> TestResult {
    let folder = TempDir::new()?;
    let storage = Storage::folder(folder.path())?;
    let arrived = arrive(&storage, b"right").await?;
    storage.keep(&arrived).await?;
    let name = arrived.digest.to_string();
    let file = folder.path().join("kept").join(&name[..2]).join(&name[2..]);
    std::fs::write(file, b"wrong")?;

    let copied = storage
        .fetch(arrived.digest, 5, &folder.path().join("copy"))
        .await;

    assert!(matches!(copied, Err(Error::Corrupt(_))), "{copied:?}");
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_is_away_is_unavailable_within_bounds() -> TestResult {
    let options = [
        ("aws_endpoint", "http://127.0.0.1:9"),
        ("aws_access_key_id", "key"),
        ("aws_secret_access_key", "secret"),
        ("aws_region", "test"),
    ];
    let storage = Storage::bucket("s3://bucket", &options)?;

    let away = tokio::time::timeout(Duration::from_mins(2), storage.part_size("x")).await?;

    assert!(matches!(away, Err(Error::Unavailable(_))), "{away:?}");
    Ok(())
}

#[tokio::test]
async fn only_a_bucket_signs_urls() -> TestResult {
    let bucket = Place::bucket().await?;
    let minute = Duration::from_mins(1);

    let url = bucket.storage.presign("name", minute).await?;

    assert!(bucket.storage.presigns());
    assert!(
        url.contains("/bucket/some/prefix/incoming/name?X-Amz-"),
        "{url}"
    );
    let folder = Place::folder()?.storage;
    assert!(!folder.presigns() && folder.presign("name", minute).await.is_err());
    Ok(())
}
