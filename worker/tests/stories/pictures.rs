//! Pictures become variants, in processes such as the product has.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jobs::{State, kinds::ThumbnailImage};
use models::{
    OwnerId,
    file_types::FileType,
    file_variants::{self, Format},
    files::{self, File, NewFile},
    on_both, sizes,
    testing::{self, TestDb, TestResult},
};
use platform::storage::Storage;
use tempfile::TempDir;

use crate::support::{Worker, ended, enqueue};

/// A PNG of 40 x 30 pixels, all of them #c04020.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAACgAAAAeCAIAAADRv8uKAAAAK0lEQVR42u3NMQ0AAAgDsElBCtKRhgw4mvRvputExGKxWCwWi8VisVj8N153RkZMTWy+WAAAAABJRU5ErkJggg==";

/// Stores a file as the API does.
async fn stored(test: &TestDb, storage: &Storage, bytes: Vec<u8>) -> TestResult<File> {
    let mut incoming = storage.begin().await?;
    incoming.write(&bytes.into()).await?;
    let arrived = incoming.finish().await?;
    let new = NewFile {
        owner: OwnerId::LOCAL,
        digest: arrived.digest.to_string(),
        size: i64::try_from(arrived.size)?,
        name: "a.png".to_owned(),
        media_type: FileType::Png,
    };
    storage.keep(&arrived).await?;
    testing::file(&test.db, &new).await
}

fn job(file: &File) -> ThumbnailImage {
    ThumbnailImage {
        file_id: file.id,
        sizes: sizes::standard(),
    }
}

on_both! {
    async fn every_variant_is_made_and_made_once(test: &TestDb) -> TestResult {
        let (db, folder) = (&test.db, TempDir::new()?);
        let storage = Storage::folder(folder.path())?;
        let file = stored(test, &storage, STANDARD.decode(PICTURE)?).await?;
        let worker = Worker::of_pictures(test, &storage)?;

        let mut lists = Vec::new();
        for _ in 0..2 {
            let task = ended(db, enqueue(db, &job(&file)).await?).await?;
            assert_eq!(task.state, State::Succeeded, "{task:?}");
            lists.push(file_variants::list(&mut db.conn().await?, file.id).await?);
        }
        let described = files::get_any(&mut db.conn().await?, file.id).await?;
        worker.drain().await?;

        assert_eq!((lists[0].len(), &lists[0]), (6, &lists[1]));
        for variant in &lists[0] {
            let to = folder.path().join(format!("{}.{}", variant.name, variant.format));
            let size = variant.size_bytes.unsigned_abs();
            storage.fetch(variant.digest.parse()?, size, &to).await?;
            let expected = match variant.format {
                Format::Webp => FileType::Webp,
                Format::Jpeg => FileType::Jpeg,
            };
            assert_eq!(FileType::of(&std::fs::read(to)?), expected, "{variant:?}");
        }
        assert_eq!((described.width, described.height), (Some(40), Some(30)));
        assert!(described.thumbhash.is_some() && described.colour.is_some());
        Ok(())
    }

    async fn a_broken_picture_fails_for_good(test: &TestDb) -> TestResult {
        let (db, folder) = (&test.db, TempDir::new()?);
        let storage = Storage::folder(folder.path())?;
        let mut bytes = STANDARD.decode(PICTURE)?;
        bytes.truncate(60);
        let file = stored(test, &storage, bytes).await?;
        let worker = Worker::of_pictures(test, &storage)?;

        let task = ended(db, enqueue(db, &job(&file)).await?).await?;
        worker.drain().await?;

        assert_eq!((task.state, task.attempt), (State::Failed, 1));
        let code = task.error.ok_or("it failed")?.code;
        assert!(code.starts_with("image_"), "{code}");
        assert_eq!(file_variants::list(&mut db.conn().await?, file.id).await?, []);
        Ok(())
    }
}
