//! Files that come piece by piece. Each piece is in the storage before its row is here.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    db::{Conn, Tx},
    error::{Error, Result},
    file_usage,
    id::{FileId, OwnerId, UploadId},
    sql,
};

/// How long an upload may take, from its beginning.
pub const LIFETIME: TimeDelta = TimeDelta::days(1);
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

/// Begins an upload and charges its size, or refuses it: `quota_exceeded`, `too_many_uploads`.
pub async fn create(
    tx: &mut Tx,
    owner: OwnerId,
    name: &str,
    size: i64,
    digest: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Upload> {
    // Whoever else charges the same owner waits, so the count below holds.
    file_usage::charge(tx, owner, size).await?;
    let created = sql!(
        tx, fetch_optional Upload,
        "insert into uploads (id, owner_id, name, size_bytes, digest, expires_at, created_at)
        select $1, $2, $3, $4, $5, $6, $7
        where (
            select count(*) from uploads where owner_id = $2 and finished_at is null
        ) < $8
        returning *",
        UploadId::new(), owner, name, size, digest, now + LIFETIME, now, UPLOADS_MAX,
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

/// Says that the whole has become a file, once; `offset_mismatch` when it was or is not whole. The
/// pieces are the caller's to remove from the storage.
pub async fn finish(
    tx: &mut Tx,
    id: UploadId,
    file: FileId,
    now: DateTime<Utc>,
) -> Result<Vec<Part>> {
    let pieces = parts(tx, id).await?;
    let rows = sql!(
        tx,
        execute,
        "update uploads set file_id = $2, finished_at = $3
        where id = $1 and offset_bytes = size_bytes and finished_at is null",
        id,
        file,
        now,
    )?;
    if rows == 0 {
        return Err(Error::Conflict("offset_mismatch"));
    }
    sql!(
        tx,
        execute,
        "delete from upload_parts where upload_id = $1",
        id
    )?;
    Ok(pieces)
}

/// Ends an upload of this owner; one that has not become a file is no longer charged. Answers the
/// pieces, which are the caller's to remove from the storage.
pub async fn delete(tx: &mut Tx, owner: OwnerId, id: UploadId) -> Result<Vec<Part>> {
    let pieces = parts(tx, id).await?;
    let deleted = sql!(
        tx, fetch_optional Upload,
        "delete from uploads where id = $1 and owner_id = $2 returning *",
        id, owner,
    )?;
    let upload = deleted.ok_or(Error::NotFound("upload"))?;
    if upload.finished_at.is_none() {
        file_usage::discharge(tx, owner, upload.size_bytes).await?;
    }
    Ok(pieces)
}

/// Uploads that have expired, at most `limit`: they are to be deleted one by one.
pub async fn expired(conn: &mut Conn, limit: i64, now: DateTime<Utc>) -> Result<Vec<Upload>> {
    sql!(
        conn, fetch_all Upload,
        "select * from uploads where expires_at <= $1 order by expires_at limit $2",
        now, limit,
    )
}
