//! Uploads, their pieces and what they are charged, on both databases.

use chrono::{DateTime, TimeDelta, Utc};
use models::{
    Conn, Db, Error, FileId, OwnerId, Tx, UploadId,
    file_types::FileType,
    file_usage,
    files::{File, NewFile},
    on_both, sql,
    testing::{self, TestResult},
    uploads::{self, JOINING, LIFETIME, PARTS_MAX, Part, UPLOADS_MAX, URL_LIFETIME, Upload},
};

async fn stored(db: &Db, owner: OwnerId, size: i64) -> TestResult<File> {
    let new = NewFile {
        owner,
        digest: "1".repeat(64),
        size,
        name: "a.bin".to_owned(),
        media_type: FileType::Gif,
    };
    testing::file(db, &new).await
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
        let file = stored(db, owner, 4).await?;

        let mut tx = db.begin().await?;
        let pieces = uploads::finish(&mut tx, upload.id, file.id, now).await?;
        assert_eq!(pieces, ["part-0"]);
        let twice = uploads::finish(&mut tx, upload.id, file.id, now).await;
        assert!(matches!(twice, Err(Error::Conflict("offset_mismatch"))));
        let found = uploads::get(&mut tx, owner, upload.id, now).await?;
        assert_eq!(found.file_id, Some(file.id));
        assert!(uploads::delete(&mut tx, owner, upload.id, now).await?.is_empty());
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
        let stranger = uploads::delete(&mut tx, OwnerId::new(), upload.id, later).await;
        assert!(matches!(stranger, Err(Error::NotFound("upload"))));
        assert_eq!(uploads::delete(&mut tx, owner, upload.id, later).await?, ["part-0"]);
        assert_eq!(file_usage::get(&mut tx, owner).await?.size_bytes, 0);
        Ok(())
    }

    async fn one_at_a_time_makes_a_file_of_an_upload(db: &Db) -> TestResult {
        let (owner, now) = (OwnerId::new(), db.now());
        let mut tx = db.begin().await?;
        let upload = began(&mut tx, owner, 4, now).await?;
        assert_eq!(uploads::join(&mut tx, upload.id, now).await?, None, "it is not whole");
        uploads::append(&mut tx, upload.id, &part(0, 4)).await?;

        assert!(uploads::join(&mut tx, upload.id, now).await?.is_some());
        assert_eq!(uploads::join(&mut tx, upload.id, now).await?, None);
        let until = now + JOINING * 2;
        uploads::claim(&mut tx, upload.id, Some(until)).await?;
        assert_eq!(uploads::join(&mut tx, upload.id, now + JOINING).await?, None, "it goes on");
        assert!(uploads::join(&mut tx, upload.id, until).await?.is_some(), "it has died");
        uploads::claim(&mut tx, upload.id, None).await?;
        assert!(uploads::join(&mut tx, upload.id, now).await?.is_some(), "it has failed");
        let late = uploads::join(&mut tx, upload.id, now + LIFETIME).await?;
        assert_eq!(late, None, "it has expired");
        Ok(())
    }

    async fn a_presigned_upload_is_charged_as_long_as_its_url_is_good(db: &Db) -> TestResult {
        let (owner, now, id) = (OwnerId::new(), db.now(), UploadId::new());
        let mut tx = db.begin().await?;
        uploads::create_presigned(&mut tx, id, owner, "a.bin", 4, None, now).await?;
        let taken = Part { name: uploads::object(id), ..part(0, 4) };
        uploads::append(&mut tx, id, &taken).await?;
        tx.commit().await?;

        let mut tx = db.begin().await?;
        assert_eq!(uploads::delete(&mut tx, owner, id, now).await?, [uploads::object(id)]);
        let gone = uploads::get(&mut tx, owner, id, now).await;
        assert!(matches!(gone, Err(Error::NotFound("upload"))));
        assert!(uploads::delete(&mut tx, owner, id, now).await.is_err());
        assert_eq!(file_usage::get(&mut tx, owner).await?.size_bytes, 4);
        let good = now + URL_LIFETIME - TimeDelta::seconds(1);
        assert!(uploads::expired(&mut tx, 10, good).await?.is_empty());
        let later = now + URL_LIFETIME;
        assert_eq!(uploads::expired(&mut tx, 10, later).await?.len(), 1);
        let names = uploads::delete(&mut tx, owner, id, later).await?;
        assert_eq!(names, [uploads::object(id)], "it may have been put there again");
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
}
