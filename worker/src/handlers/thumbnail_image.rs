//! Makes the variants of one picture, by a process that may be killed.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use jobs::kinds::ThumbnailImage;
use media::{Code, Limits};
use models::{
    blobs,
    file_variants::{self, Format, Variant},
    files::{self, File, Picture},
    sizes::{Fit, Named},
};
use platform::storage::{self, Arrived, Digest, Storage};
use serde_json::json;
use tempfile::TempDir;
use tokio::{fs::File as Disk, io::AsyncReadExt};

use super::Handle;
use crate::{
    ctx::Ctx,
    error::{JobError, Outcome},
    run::Run,
};

/// What is read of a finished variant at once.
const CHUNK_BYTES: usize = 64 * 1024;

impl Handle for ThumbnailImage {
    async fn run(self, ctx: &Ctx, run: &Run) -> Result<Outcome, JobError> {
        let away = || JobError::retry("storage_unavailable", "no storage is configured");
        let storage = ctx.storage.as_ref().ok_or_else(away)?;
        let mut conn = ctx.db.conn().await?;
        let file = files::get_any(&mut conn, self.file_id).await?;
        let there = file_variants::list(&mut conn, file.id).await?;
        drop(conn);
        if file.width.is_some() && self.sizes.iter().all(|size| is_made(&there, size)) {
            return Ok(done(&self.sizes));
        }
        // Known before the work is done, so it is not done.
        file_variants::check(&there, wanted_variants(&self.sizes))?;
        let folder = TempDir::new().map_err(anyhow::Error::from)?;
        let made = make(ctx, run, storage, &file, &self.sizes, &folder).await?;
        store(ctx, run, storage, &file, made).await?;
        Ok(done(&self.sizes))
    }
}

fn wanted_variants(sizes: &[Named]) -> impl Iterator<Item = (&str, Format)> {
    let formats = Format::ALL.iter().copied();
    sizes
        .iter()
        .flat_map(move |size| formats.clone().map(|format| (&*size.name, format)))
}

fn is_made(there: &[Variant], size: &Named) -> bool {
    Format::ALL.iter().all(|format| {
        there
            .iter()
            .any(|variant| variant.name == size.name && variant.format == *format)
    })
}

fn done(sizes: &[Named]) -> Outcome {
    let names: Vec<&str> = sizes.iter().map(|size| &*size.name).collect();
    Outcome::Done(Some(json!({"sizes": names})))
}

/// Has the variants made as files of a folder.
async fn make(
    ctx: &Ctx,
    run: &Run,
    storage: &Storage,
    file: &File,
    sizes: &[Named],
    folder: &TempDir,
) -> Result<media::Made, JobError> {
    let size = file.size_bytes.unsigned_abs();
    let bytes_max = Limits::default().bytes_max;
    if size > bytes_max {
        let detail = format!("it has {size} bytes; {bytes_max} are read");
        return Err(JobError::fail("image_too_many_bytes", detail));
    }
    run.say("fetch", "Fetching the picture");
    let source = folder.path().join("source");
    let digest: Digest = file.digest.parse().map_err(anyhow::Error::from)?;
    storage.fetch(digest, size, &source).await?;
    run.say("thumbnails", format!("Making {} sizes", sizes.len()));
    let wanted: Vec<media::Wanted> = sizes.iter().map(wanted).collect();
    let making = ctx.pictures.variants(&source, &wanted, folder.path());
    let made = run.cancelled().run_until_cancelled(making).await;
    Ok(made.ok_or(JobError::Cancelled)??)
}

fn wanted(named: &Named) -> media::Wanted {
    media::Wanted {
        name: named.name.clone(),
        width: named.size.width,
        height: named.size.height,
        fit: match named.size.fit {
            Fit::Inside => media::Fit::Inside,
            Fit::Cover => media::Fit::Cover,
        },
        formats: vec![media::Format::Webp, media::Format::Jpeg],
    }
}

/// Brings the variants into the storage, and then says of all of them at once that they are there.
///
/// Each step is taken for all of them together: most of each is waiting for a disk, or for a bucket.
async fn store(
    ctx: &Ctx,
    run: &Run,
    storage: &Storage,
    file: &File,
    made: media::Made,
) -> Result<(), JobError> {
    let arriving = made.variants.iter().map(|it| arrive(storage, it));
    let arrived = try_join_all(arriving).await?;
    reserve(ctx, &arrived).await?;
    try_join_all(arrived.iter().map(|it| storage.keep(it))).await?;
    let pairs = made.variants.iter().zip(&arrived);
    let variants: Result<Vec<Variant>, JobError> = pairs
        .map(|(variant, arrived)| {
            Ok(Variant {
                file_id: file.id,
                name: variant.name.clone(),
                format: match variant.format {
                    media::Format::Webp => Format::Webp,
                    media::Format::Jpeg => Format::Jpeg,
                },
                width: variant.width.into(),
                height: variant.height.into(),
                digest: arrived.digest.to_string(),
                size_bytes: size_bytes(arrived)?,
                created_at: ctx.db.now(),
            })
        })
        .collect();
    let picture = Picture {
        width: made.width.into(),
        height: made.height.into(),
        thumbhash: made.thumbhash,
        colour: made.colour,
    };
    let mut tx = run.begin().await?;
    files::describe(&mut tx, file.id, &picture).await?;
    file_variants::put(&mut tx, file.id, &variants?, ctx.db.now()).await?;
    Ok(tx.commit().await?)
}

/// Reserves the names of all variants.
async fn reserve(ctx: &Ctx, arrived: &[Arrived]) -> Result<(), JobError> {
    let mut sizes = BTreeMap::new();
    for one in arrived {
        sizes.insert(one.digest.to_string(), size_bytes(one)?);
    }
    let mut tx = ctx.db.begin().await?;
    blobs::reserve_all(&mut tx, &sizes, ctx.db.now()).await?;
    Ok(tx.commit().await?)
}

fn size_bytes(arrived: &Arrived) -> Result<i64, JobError> {
    Ok(i64::try_from(arrived.size).map_err(anyhow::Error::from)?)
}

async fn arrive(storage: &Storage, variant: &media::Variant) -> Result<Arrived, JobError> {
    let mut bytes = Disk::open(&variant.path)
        .await
        .map_err(anyhow::Error::from)?;
    let mut incoming = storage.begin().await?;
    loop {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
        let read = bytes.read_buf(&mut chunk).await;
        if read.map_err(anyhow::Error::from)? == 0 {
            return Ok(incoming.finish().await?);
        }
        incoming.write(&chunk.freeze()).await?;
    }
}

impl From<storage::Error> for JobError {
    fn from(error: storage::Error) -> Self {
        use storage::Error;
        match error {
            Error::NotFound | Error::Corrupt(_) => Self::fail("file_damaged", error.to_string()),
            Error::Full(_) => Self::retry("storage_full", error.to_string()),
            Error::Unavailable(_) => Self::retry("storage_unavailable", error.to_string()),
        }
    }
}

impl From<media::Error> for JobError {
    fn from(error: media::Error) -> Self {
        let detail = error.to_string();
        match error {
            media::Error::Refused { code, .. } => Self::fail(refusal(code), detail),
            media::Error::Wanted(_) => Self::fail("payload_invalid", detail),
            media::Error::Files(_) | media::Error::Process(_) | media::Error::TimedOut(_) => {
                Self::retry("images_unavailable", detail)
            }
        }
    }
}

/// The code of a refusal, for clients who see it among those of other tasks.
fn refusal(code: Code) -> &'static str {
    match code {
        Code::Empty => "image_empty",
        Code::UnsupportedType => "image_unsupported_type",
        Code::TooManyBytes => "image_too_many_bytes",
        Code::TooManyPixels => "image_too_many_pixels",
        Code::TooMuchMemory => "image_too_much_memory",
        Code::TooMuchMetadata => "image_too_much_metadata",
        Code::Truncated => "image_truncated",
        Code::Corrupt => "image_corrupt",
        Code::TooSlow => "image_too_slow",
        Code::Crashed => "image_crashed",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use inference::{EngineConfig, FetchOptions, Source};
    use jobs::Job as _;
    use models::{
        OwnerId,
        file_types::FileType,
        file_variants::VARIANTS_MAX,
        files::NewFile,
        on_both,
        sizes::{self, Size},
        testing::{self, TestDb, TestResult},
    };
    use platform::health::Health;

    use super::*;
    use crate::{ModelConfig, Models, Place, run::tests::started};

    /// A PNG of 40 x 30 pixels, all of them #c04020.
    const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAACgAAAAeCAIAAADRv8uKAAAAK0lEQVR42u3NMQ0AAAgDsElBCtKRhgw4mvRvputExGKxWCwWi8VisVj8N153RkZMTWy+WAAAAABJRU5ErkJggg==";

    async fn stored(test: &TestDb, storage: &Storage, bytes: Vec<u8>) -> TestResult<File> {
        let mut incoming = storage.begin().await?;
        incoming.write(&bytes.into()).await?;
        let arrived = incoming.finish().await?;
        storage.keep(&arrived).await?;
        let new = NewFile {
            owner: OwnerId::LOCAL,
            digest: arrived.digest.to_string(),
            size: i64::try_from(arrived.size)?,
            name: "a.png".to_owned(),
            media_type: FileType::Png,
        };
        testing::file(&test.db, &new).await
    }

    /// An attempt at the standard thumbnails of a file.
    async fn attempt(test: &TestDb, storage: &Storage, file: &File) -> TestResult<Run> {
        let config = ModelConfig {
            source: Place::Source(Source::Starter),
            fallback: false,
            fetch: FetchOptions::new("/nowhere"),
            engine: EngineConfig::default(),
        };
        let health = Health::default();
        let models = Models::lazy(config, health.clone());
        let run = started(test, models, health, &job(file)).await?;
        let ctx = Ctx {
            storage: Some(storage.clone()),
            ..run.ctx().clone()
        };
        Ok(Run::new(run.task().clone(), ctx))
    }

    fn job(file: &File) -> ThumbnailImage {
        ThumbnailImage {
            file_id: file.id,
            sizes: sizes::standard(),
        }
    }

    #[test]
    fn there_is_time_for_two_processes() {
        let both = Duration::from_secs(2 * Limits::default().wall_seconds_max);

        assert!(ThumbnailImage::TIMEOUT > both);
    }

    on_both! {
        async fn more_variants_than_a_file_may_have_are_not_made(test: &TestDb) -> TestResult {
            let folder = TempDir::new()?;
            let storage = Storage::folder(folder.path())?;
            let file = stored(test, &storage, STANDARD.decode(PICTURE)?).await?;
            let formats = i64::try_from(Format::ALL.len())?;
            let sizes = (0..=u32::try_from(VARIANTS_MAX / formats)?).map(|n| {
                Size { width: n + 1, height: 8, fit: Fit::Inside }.named()
            });
            let job = ThumbnailImage { file_id: file.id, sizes: sizes.collect() };

            let run = attempt(test, &storage, &file).await?;
            let failed = job.run(run.ctx(), &run).await;

            assert!(
                matches!(failed, Err(JobError::Fail { code: "too_many_variants", .. })),
                "{failed:?}"
            );
            Ok(())
        }

        async fn a_file_that_is_gone_fails_for_good(test: &TestDb) -> TestResult {
            let folder = TempDir::new()?;
            let storage = Storage::folder(folder.path())?;
            let file = stored(test, &storage, STANDARD.decode(PICTURE)?).await?;

            let run = attempt(test, &storage, &file).await?;
            let mut tx = test.db.begin().await?;
            files::delete(&mut tx, OwnerId::LOCAL, file.id, test.db.now()).await?;
            tx.commit().await?;
            let failed = job(&file).run(run.ctx(), &run).await;

            assert!(
                matches!(failed, Err(JobError::Fail { code: "not_found", .. })),
                "{failed:?}"
            );
            Ok(())
        }
    }
}
