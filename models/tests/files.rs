//! Files, their bytes, quotas and uploads, on both databases.

use chrono::{DateTime, TimeDelta, Utc};
use models::{
    Conn, Db, Error, FileId, Limit, OwnerId, Tx, UploadId,
    blobs::{self, DELETING, ORPHANED},
    file_types::FileType,
    file_usage::{self, FILES_MAX, OWNER_BYTES_MAX},
    file_variants::{self, Format, Variant},
    files::{self, File, NewFile, Picture},
    on_both, signing_keys, sql,
    sql::One,
    testing::TestResult,
    uploads::{self, PARTS_MAX, Part, UPLOADS_MAX, Upload},
};

fn digest(n: u8) -> String {
    format!("{n:064x}")
}

/// Stores a file as the API does.
async fn stored(db: &Db, owner: OwnerId, n: u8, size: i64) -> TestResult<File> {
    let new = NewFile {
        owner,
        digest: digest(n),
        size,
        name: format!("{n}.png"),
        media_type: FileType::Png,
    };
    let mut tx = db.begin().await?;
    blobs::reserve(&mut tx, &new.digest, size, db.now()).await?;
    tx.commit().await?;
    let mut tx = db.begin().await?;
    file_usage::charge(&mut tx, owner, size).await?;
    let file = files::create(&mut tx, &new, db.now()).await?;
    tx.commit().await?;
    Ok(file)
}

async fn doomed(db: &Db, now: DateTime<Utc>) -> TestResult<Vec<String>> {
    let mut tx = db.begin().await?;
    let doomed = blobs::doom(&mut tx, 10, now).await?;
    tx.commit().await?;
    Ok(doomed)
}

async fn delete(db: &Db, owner: OwnerId, id: FileId) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    files::delete(&mut tx, owner, id, db.now()).await?;
    tx.commit().await
}

fn variant(file: FileId, n: u8, now: DateTime<Utc>) -> Variant {
    Variant {
        file_id: file,
        name: "card".to_owned(),
        format: Format::Webp,
        width: 320,
        height: 200,
        digest: digest(n),
        size_bytes: 7,
        created_at: now,
    }
}

async fn put(db: &Db, variant: &Variant) -> TestResult {
    let mut tx = db.begin().await?;
    blobs::reserve(&mut tx, &variant.digest, variant.size_bytes, db.now()).await?;
    file_variants::put(&mut tx, variant).await?;
    Ok(tx.commit().await?)
}

async fn began(tx: &mut Tx, owner: OwnerId, size: i64, now: DateTime<Utc>) -> TestResult<Upload> {
    Ok(uploads::create(tx, owner, "a.bin", size, None, now).await?)
}

fn part(offset: i64, size: i64) -> Part {
    Part {
        offset_bytes: offset,
        size_bytes: size,
        name: format!("part-{offset}"),
    }
}

async fn offset(
    conn: &mut Conn,
    owner: OwnerId,
    id: UploadId,
    now: DateTime<Utc>,
) -> TestResult<i64> {
    Ok(uploads::get(conn, owner, id, now).await?.offset_bytes)
}

on_both! {
    async fn a_file_belongs_to_its_owner(db: &Db) -> TestResult {
        let (ada, eve) = (OwnerId::new(), OwnerId::new());
        let first = stored(db, ada, 1, 10).await?;
        let second = stored(db, ada, 1, 10).await?;
        let other = stored(db, eve, 1, 10).await?;

        let mut conn = db.conn().await?;
        assert_eq!(files::get(&mut conn, ada, first.id).await?, first);
        assert_eq!(files::get_any(&mut conn, other.id).await?, other);
        let stranger = files::get(&mut conn, eve, first.id).await;
        assert!(matches!(stranger, Err(Error::NotFound("file"))));
        let page = files::list(&mut conn, ada, None, Limit::new(1)?).await?;
        assert_eq!(page.items, [second]);
        let rest = files::list(&mut conn, ada, page.next, Limit::new(1)?).await?;
        assert_eq!(rest.items, [first]);
        assert_eq!(rest.next, None);
        Ok(())
    }

    async fn each_copy_counts_in_full(db: &Db) -> TestResult {
        let (ada, eve) = (OwnerId::new(), OwnerId::new());
        let first = stored(db, ada, 1, 10).await?;
        stored(db, ada, 1, 10).await?;
        stored(db, eve, 1, 10).await?;
        delete(db, ada, first.id).await?;
        assert!(matches!(delete(db, ada, first.id).await, Err(Error::NotFound("file"))));

        let mut conn = db.conn().await?;
        for owner in [ada, eve] {
            let usage = file_usage::get(&mut conn, owner).await?;
            assert_eq!((usage.files, usage.size_bytes), (1, 10));
            assert_eq!(usage.room(), OWNER_BYTES_MAX - 10);
        }
        assert_eq!(file_usage::get(&mut conn, OwnerId::new()).await?.files, 0);
        Ok(())
    }

    async fn the_quota_is_a_bound(db: &Db) -> TestResult {
        let owner = OwnerId::new();
        let mut tx = db.begin().await?;

        file_usage::charge(&mut tx, owner, OWNER_BYTES_MAX - 1).await?;
        file_usage::charge(&mut tx, owner, 1).await?;
        let full = file_usage::charge(&mut tx, owner, 1).await;
        assert!(matches!(full, Err(Error::Conflict("quota_exceeded"))));
        assert_eq!(file_usage::get(&mut tx, owner).await?.room(), 0);
        file_usage::discharge(&mut tx, owner, 1).await?;
        sql!(tx, execute, "update file_usage set files = $2 where owner_id = $1", owner, FILES_MAX)?;
        let many = file_usage::charge(&mut tx, owner, 0).await;
        assert!(matches!(many, Err(Error::Conflict("quota_exceeded"))));
        assert_eq!(file_usage::get(&mut tx, owner).await?.room(), 0);
        Ok(())
    }

    async fn bytes_go_when_nobody_refers_to_them(db: &Db) -> TestResult {
        let owner = OwnerId::new();
        let (first, second) = (stored(db, owner, 1, 5).await?, stored(db, owner, 1, 5).await?);
        let later = db.now() + ORPHANED + TimeDelta::minutes(1);

        assert!(doomed(db, later).await?.is_empty(), "two refer to them");
        delete(db, owner, first.id).await?;
        assert!(doomed(db, later).await?.is_empty(), "one refers to them");
        delete(db, owner, second.id).await?;
        assert!(doomed(db, db.now()).await?.is_empty(), "not at once");
        assert_eq!(doomed(db, later).await?, [digest(1)]);
        assert!(doomed(db, later).await?.is_empty(), "one deletes them");

        let again = stored(db, owner, 1, 5).await;
        assert!(again.is_err(), "nobody refers to bytes that are being deleted");
        let much_later = later + DELETING;
        assert_eq!(doomed(db, much_later).await?, [digest(1)], "who deleted them has died");
        let mut tx = db.begin().await?;
        assert!(!blobs::forget(&mut tx, &digest(1), later).await?, "it was too slow");
        assert!(blobs::forget(&mut tx, &digest(1), much_later).await?);
        tx.commit().await?;
        stored(db, owner, 1, 5).await?;
        Ok(())
    }

    async fn bytes_that_never_became_a_file_go_too(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        blobs::reserve(&mut tx, &digest(9), 1, db.now()).await?;
        tx.commit().await?;

        assert!(doomed(db, db.now()).await?.is_empty());
        assert_eq!(doomed(db, db.now() + ORPHANED).await?, [digest(9)]);
        Ok(())
    }

    async fn variants_are_found_replaced_and_go_with_their_file(db: &Db) -> TestResult {
        let owner = OwnerId::new();
        let (file, other) = (stored(db, owner, 1, 5).await?, stored(db, owner, 2, 5).await?);
        put(db, &variant(file.id, 3, db.now())).await?;
        put(db, &variant(file.id, 3, db.now())).await?;
        let newest = variant(file.id, 4, db.now());
        put(db, &newest).await?;
        put(db, &variant(other.id, 4, db.now())).await?;

        let mut conn = db.conn().await?;
        let wanted = "card.webp".parse()?;
        assert_eq!(file_variants::find(&mut conn, file.id, &wanted).await?, Some(newest));
        assert_eq!(file_variants::find(&mut conn, file.id, &"card.jpeg".parse()?).await?, None);
        assert_eq!(file_variants::list(&mut conn, file.id).await?.len(), 1);
        assert_eq!(file_variants::list_of(&mut conn, &[file.id, other.id]).await?.len(), 2);
        drop(conn);
        let later = db.now() + ORPHANED + TimeDelta::minutes(1);
        assert_eq!(doomed(db, later).await?, [digest(3)], "it was replaced");
        delete(db, owner, file.id).await?;
        delete(db, owner, other.id).await?;
        let mut gone = doomed(db, later).await?;
        gone.sort();
        assert_eq!(gone, [digest(1), digest(2), digest(4)]);
        Ok(())
    }

    async fn what_is_known_of_a_picture_is_written_down(db: &Db) -> TestResult {
        let file = stored(db, OwnerId::new(), 1, 5).await?;
        let picture = Picture {
            width: 4_000,
            height: 3_000,
            thumbhash: "1QcSHQRnh493V4dIh4eXh1h4kJUI".to_owned(),
            colour: "#aabbcc".to_owned(),
        };

        let mut tx = db.begin().await?;
        files::describe(&mut tx, file.id, &picture).await?;
        tx.commit().await?;

        let found = files::get_any(&mut db.conn().await?, file.id).await?;
        assert_eq!((found.width, found.height), (Some(4_000), Some(3_000)));
        assert_eq!(found.colour.as_deref(), Some("#aabbcc"));
        let mut tx = db.begin().await?;
        let nobody = files::describe(&mut tx, FileId::new(), &picture).await;
        assert!(matches!(nobody, Err(Error::NotFound("file"))));
        Ok(())
    }

    async fn an_upload_grows_at_its_end_only(db: &Db) -> TestResult {
        let (owner, now) = (OwnerId::new(), db.now());
        let mut tx = db.begin().await?;
        let upload = began(&mut tx, owner, 10, now).await?;

        uploads::append(&mut tx, upload.id, &part(0, 4)).await?;
        for (offset, size) in [(0, 4), (3, 1), (5, 1), (4, 7)] {
            let refused = uploads::append(&mut tx, upload.id, &part(offset, size)).await;
            assert!(matches!(refused, Err(Error::Conflict("offset_mismatch"))), "{offset} {size}");
        }
        let half = uploads::finish(&mut tx, upload.id, FileId::new(), now).await;
        assert!(matches!(half, Err(Error::Conflict("offset_mismatch"))), "it is not whole");
        let whole = uploads::append(&mut tx, upload.id, &part(4, 6)).await?;
        assert_eq!((whole.offset_bytes, whole.parts), (10, 2));
        assert_eq!(uploads::parts(&mut tx, upload.id).await?, [part(0, 4), part(4, 6)]);
        assert_eq!(offset(&mut tx, owner, upload.id, now).await?, 10);
        let stranger = uploads::get(&mut tx, OwnerId::new(), upload.id, now).await;
        assert!(matches!(stranger, Err(Error::NotFound("upload"))));
        let nobody = uploads::append(&mut tx, UploadId::new(), &part(0, 1)).await;
        assert!(matches!(nobody, Err(Error::NotFound("upload"))));
        Ok(())
    }

    async fn an_upload_becomes_one_file(db: &Db) -> TestResult {
        let (owner, now) = (OwnerId::new(), db.now());
        let mut tx = db.begin().await?;
        let upload = began(&mut tx, owner, 4, now).await?;
        uploads::append(&mut tx, upload.id, &part(0, 4)).await?;
        tx.commit().await?;
        let file = stored(db, owner, 1, 4).await?;

        let mut tx = db.begin().await?;
        let pieces = uploads::finish(&mut tx, upload.id, file.id, now).await?;
        assert_eq!(pieces, [part(0, 4)]);
        let twice = uploads::finish(&mut tx, upload.id, file.id, now).await;
        assert!(matches!(twice, Err(Error::Conflict("offset_mismatch"))));
        let found = uploads::get(&mut tx, owner, upload.id, now).await?;
        assert_eq!(found.file_id, Some(file.id));
        assert!(uploads::delete(&mut tx, owner, upload.id).await?.is_empty());
        // The file is charged on, once for the upload and once by `stored`.
        assert_eq!(file_usage::get(&mut tx, owner).await?.files, 2);
        Ok(())
    }

    async fn an_upload_is_charged_until_it_is_given_up(db: &Db) -> TestResult {
        let (owner, now) = (OwnerId::new(), db.now());
        let mut tx = db.begin().await?;
        let upload = began(&mut tx, owner, 100, now).await?;
        uploads::append(&mut tx, upload.id, &part(0, 40)).await?;
        tx.commit().await?;

        let mut tx = db.begin().await?;
        assert_eq!(file_usage::get(&mut tx, owner).await?.size_bytes, 100);
        assert!(uploads::expired(&mut tx, 10, now).await?.is_empty());
        let later = now + uploads::LIFETIME;
        let expired = uploads::expired(&mut tx, 10, later).await?;
        assert_eq!(expired.len(), 1);
        let gone = uploads::get(&mut tx, owner, upload.id, later).await;
        assert!(matches!(gone, Err(Error::NotFound("upload"))));
        let stranger = uploads::delete(&mut tx, OwnerId::new(), upload.id).await;
        assert!(matches!(stranger, Err(Error::NotFound("upload"))));
        assert_eq!(uploads::delete(&mut tx, owner, upload.id).await?, [part(0, 40)]);
        assert_eq!(file_usage::get(&mut tx, owner).await?.size_bytes, 0);
        Ok(())
    }

    async fn uploads_and_their_pieces_are_bounded(db: &Db) -> TestResult {
        let (owner, now) = (OwnerId::new(), db.now());
        let mut tx = db.begin().await?;
        for _ in 0..UPLOADS_MAX {
            began(&mut tx, owner, 1, now).await?;
        }
        let refused = uploads::create(&mut tx, owner, "x", 1, None, now).await;
        assert!(matches!(refused, Err(Error::Conflict("too_many_uploads"))));

        let upload = began(&mut tx, OwnerId::new(), 10, now).await?;
        sql!(tx, execute, "update uploads set parts = $2 where id = $1", upload.id, PARTS_MAX)?;
        let refused = uploads::append(&mut tx, upload.id, &part(0, 1)).await;
        assert!(matches!(refused, Err(Error::Conflict("too_many_parts"))));
        Ok(())
    }

    async fn a_signing_key_is_made_once(db: &Db) -> TestResult {
        let mut tx = db.begin().await?;
        let first = signing_keys::get(&mut tx, "files", db.now()).await?;
        let other = signing_keys::get(&mut tx, "others", db.now()).await?;
        tx.commit().await?;

        let mut tx = db.begin().await?;
        assert_eq!(signing_keys::get(&mut tx, "files", db.now()).await?, first);
        assert_ne!(first, other);
        assert_eq!(first.len(), 32);
        let keys = sql!(tx, fetch_one One<i64>, "select count(*) from signing_keys")?;
        assert_eq!(keys, (2,));
        Ok(())
    }
}
