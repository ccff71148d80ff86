//! Files, their bytes, variants and quotas, on both databases.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use models::{
    Db, Error, FileId, Limit, OwnerId,
    blobs::{self, DELETING, ORPHANED, POSTPONED},
    file_types::FileType,
    file_usage::{self, FILES_MAX, OWNER_BYTES_MAX},
    file_variants::{self, Format, VARIANTS_MAX, Variant},
    files::{self, File, NewFile, Picture},
    on_both, signing_keys, sql,
    sql::One,
    testing::{self, TestDb, TestResult},
    uploads, users,
};
use tokio::{task::yield_now, time::timeout};

/// What a test waits at most for something to happen.
const PATIENCE: Duration = Duration::from_secs(20);

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
    testing::file(db, &new).await
}

async fn doomed(db: &Db, now: DateTime<Utc>) -> TestResult<Vec<String>> {
    let mut tx = db.begin().await?;
    let mut looked = blobs::doom(&mut tx, 10, now).await?;
    tx.commit().await?;
    assert!(!looked.more);
    looked.doomed.sort();
    Ok(looked.doomed)
}

async fn reserved(db: &Db, n: u8, now: DateTime<Utc>) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    let done = blobs::reserve(&mut tx, &digest(n), 5, now).await;
    if done.is_ok() {
        return tx.commit().await;
    }
    tx.rollback().await?;
    done
}

/// How many bytes are to be looked at.
async fn orphaned(db: &Db) -> TestResult<i64> {
    let mut conn = db.conn().await?;
    let (count,) = sql!(
        conn, fetch_one One<i64>,
        "select count(*) from blobs where check_at is not null"
    )?;
    Ok(count)
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
    let (file, one) = (variant.file_id, std::slice::from_ref(variant));
    file_variants::put(&mut tx, file, one, db.now()).await?;
    Ok(tx.commit().await?)
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

        let again = reserved(db, 1, later).await;
        let refused = matches!(again, Err(Error::Conflict("bytes_being_deleted")));
        assert!(refused, "nobody refers to bytes that are being deleted: {again:?}");
        let much_later = later + DELETING;
        assert_eq!(doomed(db, much_later).await?, [digest(1)], "who deleted them has died");
        let mut tx = db.begin().await?;
        assert!(!blobs::forget(&mut tx, &digest(1), later).await?, "it was too slow");
        assert!(blobs::forget(&mut tx, &digest(1), much_later).await?);
        tx.commit().await?;
        stored(db, owner, 1, 5).await?;
        Ok(())
    }

    async fn bytes_that_nobody_deletes_any_more_may_come_again(db: &Db) -> TestResult {
        let now = db.now();
        let later = now + ORPHANED;
        reserved(db, 1, now).await?;
        assert_eq!(doomed(db, later).await?, [digest(1)]);

        assert!(reserved(db, 1, later + DELETING - TimeDelta::seconds(1)).await.is_err());
        reserved(db, 1, later + DELETING).await?;

        assert!(doomed(db, later + DELETING).await?.is_empty());
        assert_eq!(doomed(db, later + DELETING + ORPHANED).await?, [digest(1)]);
        Ok(())
    }

    async fn bytes_that_cannot_be_deleted_stand_in_nobodys_way(db: &Db) -> TestResult {
        let now = db.now();
        let later = now + ORPHANED;
        for n in 1..=3 {
            reserved(db, n, now).await?;
        }
        let mut tx = db.begin().await?;
        let first = blobs::doom(&mut tx, 2, later).await?;
        assert_eq!((first.doomed.len(), first.more), (2, true));
        for digest in &first.doomed {
            blobs::postpone(&mut tx, digest, later).await?;
        }
        let second = blobs::doom(&mut tx, 2, later).await?;
        assert_eq!((second.doomed.len(), second.more), (1, false));
        tx.commit().await?;

        let soon = later + DELETING;
        assert_eq!(doomed(db, soon).await?, second.doomed, "whoever deleted it has died");
        let all = [digest(1), digest(2), digest(3)];
        assert_eq!(doomed(db, later + POSTPONED).await?, all);
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

    async fn many_bytes_are_reserved_together_or_not_at_all(db: &Db) -> TestResult {
        let now = db.now();
        let sizes = |numbers: [u8; 2]| numbers.map(|n| (digest(n), i64::from(n))).into();
        let mut tx = db.begin().await?;
        blobs::reserve_all(&mut tx, &sizes([1, 2]), now).await?;
        tx.commit().await?;
        assert_eq!(doomed(db, now + ORPHANED).await?, [digest(1), digest(2)]);

        let mut tx = db.begin().await?;
        let refused = blobs::reserve_all(&mut tx, &sizes([2, 3]), now + ORPHANED).await;
        tx.rollback().await?;

        assert!(matches!(refused, Err(Error::Conflict("bytes_being_deleted"))), "{refused:?}");
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
        assert_eq!(doomed(db, later).await?, [digest(1), digest(2), digest(4)]);
        Ok(())
    }

    async fn no_file_has_more_variants_than_it_may(db: &Db) -> TestResult {
        let owner = OwnerId::new();
        let (file, other) = (stored(db, owner, 1, 5).await?, stored(db, owner, 2, 5).await?);
        put(db, &variant(other.id, 3, db.now())).await?;
        let mut most: Vec<Variant> = Vec::new();
        for n in 0..VARIANTS_MAX {
            let name = format!("{n:03}");
            most.push(Variant { name, ..variant(file.id, 4, db.now()) });
        }
        let one_more = variant(file.id, 5, db.now());

        reserved(db, 4, db.now()).await?;
        reserved(db, 5, db.now()).await?;
        let mut tx = db.begin().await?;
        file_variants::put(&mut tx, file.id, &most, db.now()).await?;
        file_variants::put(&mut tx, file.id, &most[..1], db.now()).await?;
        let refused = file_variants::put(&mut tx, file.id, &[one_more], db.now()).await;
        assert!(matches!(refused, Err(Error::Conflict("too_many_variants"))), "{refused:?}");
        let listed = file_variants::list_of(&mut tx, &[file.id, other.id]).await?;
        assert_eq!(listed.len(), most.len() + 1, "no file takes the place of another");
        let nobody = file_variants::put(&mut tx, FileId::new(), &most, db.now()).await;
        assert!(matches!(nobody, Err(Error::NotFound("file"))));
        tx.commit().await?;
        Ok(())
    }

    async fn a_file_goes_with_more_variants_than_it_may_have(db: &Db) -> TestResult {
        let owner = OwnerId::new();
        let file = stored(db, owner, 1, 5).await?;
        let most = u8::try_from(VARIANTS_MAX)? + 10;
        let mut tx = db.begin().await?;
        for n in 2..most {
            // As an earlier release, which had no bound, left them.
            blobs::reserve(&mut tx, &digest(n), 7, db.now()).await?;
            blobs::refer(&mut tx, &digest(n)).await?;
            sql!(
                tx, execute,
                "insert into file_variants
                values ($1, $2, 'webp', 320, 200, $3, 7, $4)",
                file.id, format!("{n:03}"), digest(n), db.now(),
            )?;
        }
        tx.commit().await?;

        delete(db, owner, file.id).await?;

        assert_eq!(orphaned(db).await?, i64::from(most) - 1);
        Ok(())
    }

    async fn all_files_of_an_account_go_with_it(db: &Db) -> TestResult {
        let (ada, eve) = (OwnerId::new(), OwnerId::new());
        let (first, _) = (stored(db, ada, 1, 10).await?, stored(db, ada, 2, 10).await?);
        put(db, &variant(first.id, 3, db.now())).await?;
        let other = stored(db, eve, 2, 10).await?;
        let mut tx = db.begin().await?;
        let upload = uploads::create(&mut tx, ada, "a.bin", 100, None, db.now()).await?;
        users::delete(&mut tx, ada, db.now()).await?;
        tx.commit().await?;

        let now = db.now();
        let later = now + ORPHANED + TimeDelta::minutes(1);
        assert_eq!(doomed(db, later).await?, [digest(1), digest(3)]);
        let mut conn = db.conn().await?;
        assert_eq!(files::get_any(&mut conn, other.id).await?, other);
        assert!(files::list(&mut conn, ada, None, Limit::default()).await?.items.is_empty());
        assert_eq!(file_usage::get(&mut conn, ada).await?.files, 0);
        let expired = uploads::expired(&mut conn, 10, now).await?;
        assert_eq!(expired.iter().map(|one| one.id).collect::<Vec<_>>(), [upload.id]);
        drop(conn);
        let mut tx = db.begin().await?;
        uploads::delete(&mut tx, ada, upload.id, now).await?;
        assert_eq!(file_usage::get(&mut tx, ada).await?.files, 0);
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

/// Waits until a connection of this database waits for a lock.
async fn somebody_waits(db: &Db) -> TestResult {
    let mut conn = db.conn().await?;
    loop {
        let (waiting,) = sql!(
            conn, fetch_one One<i64>,
            "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'"
        )?;
        if waiting > 0 {
            return Ok(());
        }
        yield_now().await;
    }
}

#[tokio::test]
async fn variants_that_land_while_their_file_goes_are_released() -> TestResult {
    let test = TestDb::postgres().await?;
    let (db, owner) = (&test.db, OwnerId::new());
    let file = stored(db, owner, 1, 5).await?;
    let mut landing = db.begin().await?;
    blobs::reserve(&mut landing, &digest(2), 7, db.now()).await?;
    let variants = [variant(file.id, 2, db.now())];
    file_variants::put(&mut landing, file.id, &variants, db.now()).await?;

    let land = async {
        timeout(PATIENCE, somebody_waits(db)).await??;
        landing.commit().await?;
        TestResult::Ok(())
    };
    let going = async { TestResult::Ok(delete(db, owner, file.id).await?) };
    tokio::try_join!(going, land)?;

    assert_eq!(orphaned(db).await?, 2);
    test.close().await
}
