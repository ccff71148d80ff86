//! Files of an owner. Their bytes lie in the storage.

use chrono::{DateTime, Utc};

use crate::{
    address::is_unsafe,
    blobs::{self, ORPHANED},
    db::{Conn, Tx},
    error::{Error, Result},
    file_types::FileType,
    file_usage::{self, FILES_MAX},
    id::{FileId, OwnerId, TaskId},
    page::{Cursor, Limit, Page},
    sql,
    sql::{Ids, One},
    uploads,
};

/// The largest file: 4 GiB. S3 copies no larger ones at once.
pub const FILE_BYTES_MAX: i64 = 4 * 1024 * 1024 * 1024;
/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Files that are deleted in one step when all of an owner go.
const DELETED_AT_ONCE: i64 = 1_000;

/// A row of `files`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct File {
    /// Its id.
    pub id: FileId,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// The SHA-256 of its bytes, hexadecimal.
    pub digest: String,
    /// How many they are.
    pub size_bytes: i64,
    /// What the owner calls it.
    pub name: String,
    /// What it is.
    pub media_type: FileType,
    /// The width of a picture as it is to be seen, once its variants were made.
    pub width: Option<i64>,
    /// Its height.
    pub height: Option<i64>,
    /// A small stand-in for it, in base64.
    pub thumbhash: Option<String>,
    /// The colour that it has most of, as `#rrggbb`.
    pub colour: Option<String>,
    /// The task that last made variants of it.
    pub task_id: Option<TaskId>,
    /// When it came.
    pub created_at: DateTime<Utc>,
}

/// A file to be stored.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Whose it is.
    pub owner: OwnerId,
    /// The SHA-256 of its bytes, hexadecimal: reserved, and in the storage.
    pub digest: String,
    /// How many they are.
    pub size: i64,
    /// What the owner calls it: see [`clean_name`].
    pub name: String,
    /// What it is.
    pub media_type: FileType,
}

/// What is known of a picture once it was decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its width in pixels, turned as it is to be seen.
    pub width: i64,
    /// Its height.
    pub height: i64,
    /// A small stand-in for it, in base64.
    pub thumbhash: String,
    /// The colour that it has most of, as `#rrggbb`.
    pub colour: String,
}

/// A name as it is kept: the last part of a path, without characters that steer a terminal, a header
/// or the direction of writing; never empty, never longer than [`NAME_CHARS_MAX`].
pub fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last
        .chars()
        .filter(|c| !is_unsafe(*c))
        .take(NAME_CHARS_MAX)
        .collect();
    let clean = clean.trim().trim_start_matches('.').trim_start();
    if clean.is_empty() {
        return "file".to_owned();
    }
    clean.to_owned()
}

/// Stores a file whose bytes are in the storage and whose size is charged.
pub async fn create(tx: &mut Tx, new: &NewFile, now: DateTime<Utc>) -> Result<File> {
    blobs::refer(tx, &new.digest).await?;
    sql!(
        tx, fetch_one File,
        "insert into files (id, owner_id, digest, size_bytes, name, media_type, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)
        returning *",
        FileId::new(), new.owner, &new.digest, new.size, &new.name, new.media_type, now,
    )
}

/// A file of this owner, or `NotFound`.
pub async fn get(conn: &mut Conn, owner: OwnerId, id: FileId) -> Result<File> {
    sql!(
        conn, fetch_optional File,
        "select * from files where id = $1 and owner_id = $2",
        id, owner,
    )?
    .ok_or(Error::NotFound("file"))
}

/// A file whoever owns it, or `NotFound`: for those who work on it, and for signed links.
pub async fn get_any(conn: &mut Conn, id: FileId) -> Result<File> {
    sql!(conn, fetch_optional File, "select * from files where id = $1", id)?
        .ok_or(Error::NotFound("file"))
}

/// The files of an owner, newest first, from the cursor on.
pub async fn list(
    conn: &mut Conn,
    owner: OwnerId,
    after: Option<Cursor>,
    limit: Limit,
) -> Result<Page<File>> {
    let after = after.unwrap_or_else(Cursor::start);
    let rows = sql!(
        conn, fetch_all File,
        "select * from files
        where owner_id = $1 and (created_at, id) < ($2, $3)
        order by created_at desc, id desc
        limit $4",
        owner, after.created_at, after.id, limit.and_one(),
    )?;
    Ok(Page::new(rows, limit, |file| Cursor {
        created_at: file.created_at,
        id: file.id.into(),
    }))
}

/// Names the task that makes variants of it.
pub async fn attach(tx: &mut Tx, id: FileId, task: TaskId) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update files set task_id = $2 where id = $1",
        id,
        task
    )?;
    if rows == 0 {
        return Err(Error::NotFound("file"));
    }
    Ok(())
}

/// Writes down what is known of a picture; again changes nothing.
pub async fn describe(tx: &mut Tx, id: FileId, picture: &Picture) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update files set width = $2, height = $3, thumbhash = $4, colour = $5 where id = $1",
        id,
        picture.width,
        picture.height,
        &picture.thumbhash,
        &picture.colour,
    )?;
    if rows == 0 {
        return Err(Error::NotFound("file"));
    }
    Ok(())
}

/// Deletes a file of this owner with its variants, or `NotFound`. Bytes that nobody else refers to
/// are swept later.
pub async fn delete(tx: &mut Tx, owner: OwnerId, id: FileId, now: DateTime<Utc>) -> Result<()> {
    // Whoever adds variants has this row: what is released below includes theirs.
    let held = sql!(
        tx, fetch_optional File,
        "update files set name = name where id = $1 and owner_id = $2 returning *",
        id, owner,
    )?;
    let file = held.ok_or(Error::NotFound("file"))?;
    remove(tx, [id].into_iter().collect(), now).await?;
    file_usage::discharge(tx, owner, file.size_bytes).await
}

/// Deletes all files of an owner, and what of them is on its way; the bytes are swept later.
pub async fn delete_all(tx: &mut Tx, owner: OwnerId, now: DateTime<Utc>) -> Result<()> {
    for _ in 0..=FILES_MAX / DELETED_AT_ONCE {
        let held = sql!(
            tx, fetch_all One<FileId>,
            "update files set name = name
            where id in (select id from files where owner_id = $1 limit $2)
            returning id",
            owner, DELETED_AT_ONCE,
        )?;
        if held.is_empty() {
            break;
        }
        remove(tx, held.into_iter().map(|(id,)| id).collect(), now).await?;
    }
    uploads::expire_all(tx, owner, now).await?;
    sql!(
        tx,
        execute,
        "delete from file_usage where owner_id = $1",
        owner
    )?;
    Ok(())
}

/// Deletes files whose rows this transaction holds.
async fn remove(tx: &mut Tx, ids: Ids, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        postgres
        // Everybody takes the rows of bytes in the same order, so nobody waits for somebody who waits.
        "update blobs set check_at = $2
        where digest = any(array(
            select b.digest from blobs b
            where b.digest in (
                select f.digest from files f where f.id = any($1)
                union select v.digest from file_variants v where v.file_id = any($1))
            order by b.digest
            for update))",
        sqlite
        "update blobs set check_at = $2
        where digest in (
            select digest from files where id in (select unhex(value) from json_each($1))
            union select digest from file_variants
                where file_id in (select unhex(value) from json_each($1)))",
        ids.clone(),
        now + ORPHANED,
    )?;
    sql!(
        tx,
        execute,
        postgres "delete from files where id = any($1)",
        sqlite "delete from files where id in (select unhex(value) from json_each($1))",
        ids,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path_and_never_steers_anything() {
        let cases = [
            ("photo.jpg", "photo.jpg"),
            ("../../etc/passwd", "passwd"),
            ("C:\\temp\\a b.png", "a b.png"),
            ("x\r\nSet-Cookie: a=b", "xSet-Cookie: a=b"),
            ("\u{202e}gpj.exe", "gpj.exe"),
            ("", "file"),
            ("..", "file"),
            ("a/", "file"),
            ("\0\u{7f}", "file"),
            (" .htaccess ", "htaccess"),
        ];
        for (name, expected) in cases {
            assert_eq!(clean_name(name), expected, "{name:?}");
        }
        assert_eq!(clean_name(&"é".repeat(500)).chars().count(), NAME_CHARS_MAX);
    }
}
