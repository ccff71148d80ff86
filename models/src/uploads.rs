//! Files that come piece by piece. Each piece is in the storage before its row is here.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    db::{Conn, Tx},
    error::{Error, Result},
    file_usage,
    id::{FileId, OwnerId, UploadId},
    sql,
};

/// How long an upload may take, from its beginning.
pub const LIFETIME: TimeDelta = TimeDelta::days(1);
/// How long the URL of a presigned upload is good for. Nobody can take it back, so the upload is
/// charged that long whatever becomes of it.
pub const URL_LIFETIME: TimeDelta = TimeDelta::hours(1);
/// How long a presigned upload may take. What was begun while the URL was good may end after that.
pub const PRESIGNED_LIFETIME: TimeDelta = TimeDelta::hours(2);
/// Whoever makes a file of an upload says so again before this is over; then somebody else may.
pub const JOINING: TimeDelta = TimeDelta::minutes(1);
/// The most pieces of one upload.
pub const PARTS_MAX: i64 = 10_000;
/// The most uploads of one owner that have not ended.
pub const UPLOADS_MAX: i64 = 100;

/// A row of `uploads`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// What the owner calls the file.
    pub name: String,
    /// How large the file will be.
    pub size_bytes: i64,
    /// How much of it has arrived.
    pub offset_bytes: i64,
    /// In how many pieces.
    pub parts: i64,
    /// The SHA-256 that the client said the whole has.
    pub digest: Option<String>,
    /// What became of it.
    pub file_id: Option<FileId>,
    /// When it became a file.
    pub finished_at: Option<DateTime<Utc>>,
    /// Until when somebody makes a file of it.
    pub joining_until: Option<DateTime<Utc>>,
    /// Until when its owner can put bytes into the bucket by a URL.
    pub presigned_until: Option<DateTime<Utc>>,
    /// When it is forgotten.
    pub expires_at: DateTime<Utc>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

/// A row of `upload_parts`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Part {
    /// Where it begins in the whole.
    pub offset_bytes: i64,
    /// How large it is.
    pub size_bytes: i64,
    /// Its temporary name in the storage.
    pub name: String,
}

/// The temporary name of what is put into the bucket by a URL.
pub fn object(id: UploadId) -> String {
    Uuid::from(id).simple().to_string()
}

/// Begins an upload and charges its size, or refuses it: `quota_exceeded`, `too_many_uploads`.
pub async fn create(
    tx: &mut Tx,
    owner: OwnerId,
    name: &str,
    size: i64,
    digest: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Upload> {
    let upload = new(UploadId::new(), owner, name, size, digest, now);
    insert(tx, &upload).await
}

/// The same for one whose URL is signed already.
pub async fn create_presigned(
    tx: &mut Tx,
    id: UploadId,
    owner: OwnerId,
    name: &str,
    size: i64,
    digest: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Upload> {
    let upload = Upload {
        presigned_until: Some(now + URL_LIFETIME),
        expires_at: now + PRESIGNED_LIFETIME,
        ..new(id, owner, name, size, digest, now)
    };
    insert(tx, &upload).await
}

fn new(
    id: UploadId,
    owner: OwnerId,
    name: &str,
    size: i64,
    digest: Option<&str>,
    now: DateTime<Utc>,
) -> Upload {
    Upload {
        id,
        owner_id: owner,
        name: name.to_owned(),
        size_bytes: size,
        offset_bytes: 0,
        parts: 0,
        digest: digest.map(str::to_owned),
        file_id: None,
        finished_at: None,
        joining_until: None,
        presigned_until: None,
        expires_at: now + LIFETIME,
        created_at: now,
    }
}

async fn insert(tx: &mut Tx, new: &Upload) -> Result<Upload> {
    // Whoever else charges the same owner waits, so the count below holds.
    file_usage::charge(tx, new.owner_id, new.size_bytes).await?;
    let created = sql!(
        tx, fetch_optional Upload,
        "insert into uploads
            (id, owner_id, name, size_bytes, digest, presigned_until, expires_at, created_at)
        select $1, $2, $3, $4, $5, $6, $7, $8
        where (
            select count(*) from uploads where owner_id = $2 and finished_at is null
        ) < $9
        returning *",
        new.id, new.owner_id, &new.name, new.size_bytes, new.digest.as_deref(), new.presigned_until,
        new.expires_at, new.created_at, UPLOADS_MAX,
    )?;
    created.ok_or(Error::Conflict("too_many_uploads"))
}

/// An upload of this owner that has not expired, or `NotFound`.
pub async fn get(
    conn: &mut Conn,
    owner: OwnerId,
    id: UploadId,
    now: DateTime<Utc>,
) -> Result<Upload> {
    sql!(
        conn, fetch_optional Upload,
        "select * from uploads where id = $1 and owner_id = $2 and expires_at > $3",
        id, owner, now,
    )?
    .ok_or(Error::NotFound("upload"))
}

/// Adds a piece that is in the storage at `offset`, or refuses it: `offset_mismatch` when something
/// else is there already, `too_many_parts`. Answers the upload as it is then.
pub async fn append(tx: &mut Tx, id: UploadId, part: &Part) -> Result<Upload> {
    let appended = sql!(
        tx, fetch_optional Upload,
        "update uploads set offset_bytes = offset_bytes + $3, parts = parts + 1
        where id = $1 and offset_bytes = $2 and offset_bytes + $3 <= size_bytes
            and parts < $4 and finished_at is null
        returning *",
        id, part.offset_bytes, part.size_bytes, PARTS_MAX,
    )?;
    let Some(upload) = appended else {
        return Err(refusal(tx, id, part).await?);
    };
    sql!(
        tx,
        execute,
        "insert into upload_parts (upload_id, offset_bytes, size_bytes, name)
        values ($1, $2, $3, $4)",
        id,
        part.offset_bytes,
        part.size_bytes,
        &part.name,
    )?;
    Ok(upload)
}

async fn refusal(tx: &mut Tx, id: UploadId, part: &Part) -> Result<Error> {
    let found = sql!(tx, fetch_optional Upload, "select * from uploads where id = $1", id)?;
    Ok(match found {
        None => Error::NotFound("upload"),
        Some(upload) if upload.offset_bytes == part.offset_bytes && upload.parts >= PARTS_MAX => {
            Error::Conflict("too_many_parts")
        }
        Some(_) => Error::Conflict("offset_mismatch"),
    })
}

/// The pieces of an upload, in their order.
pub async fn parts(conn: &mut Conn, id: UploadId) -> Result<Vec<Part>> {
    sql!(
        conn, fetch_all Part,
        "select offset_bytes, size_bytes, name from upload_parts
        where upload_id = $1 order by offset_bytes limit $2",
        id, PARTS_MAX,
    )
}

/// Claims an upload that has arrived as a whole, to make a file of it. Nothing when somebody else
/// makes or has made it, or when it is not whole.
pub async fn join(tx: &mut Tx, id: UploadId, now: DateTime<Utc>) -> Result<Option<Upload>> {
    sql!(
        tx, fetch_optional Upload,
        "update uploads set joining_until = $2
        where id = $1 and offset_bytes = size_bytes and finished_at is null and expires_at > $3
            and (joining_until is null or joining_until <= $3)
        returning *",
        id, now + JOINING, now,
    )
}

/// Says that whoever claimed the upload is still at it, until then; or no more.
pub async fn claim(tx: &mut Tx, id: UploadId, until: Option<DateTime<Utc>>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update uploads set joining_until = $2 where id = $1 and finished_at is null",
        id,
        until,
    )?;
    Ok(())
}

/// Says that the whole has become a file, once; `offset_mismatch` when it was or is not whole.
/// Answers the temporary names that are the caller's to remove from the storage.
pub async fn finish(
    tx: &mut Tx,
    id: UploadId,
    file: FileId,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let pieces = parts(tx, id).await?;
    let finished = sql!(
        tx, fetch_optional Upload,
        "update uploads set file_id = $2, finished_at = $3, joining_until = null
        where id = $1 and offset_bytes = size_bytes and finished_at is null and expires_at > $3
        returning *",
        id, file, now,
    )?;
    let upload = finished.ok_or(Error::Conflict("offset_mismatch"))?;
    sql!(
        tx,
        execute,
        "delete from upload_parts where upload_id = $1",
        id
    )?;
    Ok(names(&upload, pieces))
}

/// Ends an upload of this owner; one that has not become a file is no longer charged. While its URL is
/// good it is only hidden, and charged on. Answers the temporary names that are the caller's to
/// remove from the storage.
pub async fn delete(
    tx: &mut Tx,
    owner: OwnerId,
    id: UploadId,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    // Whoever adds a piece has this row: what is answered includes theirs.
    let held = sql!(
        tx, fetch_optional Upload,
        "update uploads set expires_at = $3
        where id = $1 and owner_id = $2
            and (expires_at > $3 or presigned_until is null or presigned_until <= $3)
        returning *",
        id, owner, now,
    )?;
    let upload = held.ok_or(Error::NotFound("upload"))?;
    let pieces = parts(tx, id).await?;
    if upload.presigned_until.is_none_or(|until| until <= now) {
        sql!(tx, execute, "delete from uploads where id = $1", id)?;
        if upload.finished_at.is_none() {
            file_usage::discharge(tx, owner, upload.size_bytes).await?;
        }
    }
    Ok(names(&upload, pieces))
}

/// What lies in the storage for an upload. More may have been put there by its URL at any time.
fn names(upload: &Upload, pieces: Vec<Part>) -> Vec<String> {
    let object = upload.presigned_until.map(|_| object(upload.id));
    let pieces = pieces.into_iter().map(|piece| piece.name);
    let mut names: Vec<String> = pieces.chain(object).collect();
    // It may have been taken as a piece.
    names.sort();
    names.dedup();
    names
}

/// Ends all uploads of an owner: they are to be deleted one by one.
pub async fn expire_all(tx: &mut Tx, owner: OwnerId, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update uploads set expires_at = $2 where owner_id = $1 and expires_at > $2",
        owner,
        now,
    )?;
    Ok(())
}

/// Uploads that have expired, and whose URLs have, at most `limit`: they are to be deleted one by one.
pub async fn expired(conn: &mut Conn, limit: i64, now: DateTime<Utc>) -> Result<Vec<Upload>> {
    sql!(
        conn, fetch_all Upload,
        "select * from uploads
        where expires_at <= $1 and (presigned_until is null or presigned_until <= $1)
        order by expires_at limit $2",
        now, limit,
    )
}
