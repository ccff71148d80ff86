//! Bytes in the storage, and when nobody needs them any more.
//!
//! The storage and the database cannot commit together, so the order decides: the row comes before
//! the bytes and goes after them. A row that is to be looked at has a time; who finds then that
//! nobody refers to it dooms it first, so that nobody refers to bytes that are being deleted.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    db::Tx,
    error::{Error, Result},
    sql,
    sql::One,
};

/// How long bytes lie that nobody refers to. Longer than it takes to refer to them once their name
/// is reserved.
pub const ORPHANED: TimeDelta = TimeDelta::hours(1);
/// Who dooms bytes has this long to delete them; then somebody else tries.
pub const DELETING: TimeDelta = TimeDelta::minutes(10);

/// Reserves the name of bytes before they get it. Refused as unavailable for the moment in which the
/// same bytes are being deleted.
pub async fn reserve(tx: &mut Tx, digest: &str, size: i64, now: DateTime<Utc>) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "insert into blobs (digest, size_bytes, check_at, created_at)
        values ($1, $2, $3, $4)
        on conflict (digest) do update set check_at = excluded.check_at
        where blobs.doomed_at is null",
        digest,
        size,
        now + ORPHANED,
        now,
    )?;
    refuse_doomed(rows)
}

/// Says that somebody refers to reserved bytes from now on, in the transaction that does.
pub async fn refer(tx: &mut Tx, digest: &str) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update blobs set check_at = null where digest = $1 and doomed_at is null",
        digest,
    )?;
    refuse_doomed(rows)
}

/// Says that somebody refers to bytes no more: they are to be looked at.
pub async fn release(tx: &mut Tx, digest: &str, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update blobs set check_at = $2 where digest = $1",
        digest,
        now + ORPHANED,
    )?;
    Ok(())
}

/// Looks at the bytes whose time has come, at most `limit`: dooms those that nobody refers to, and
/// answers their digests.
pub async fn doom(tx: &mut Tx, limit: i64, now: DateTime<Utc>) -> Result<Vec<String>> {
    sql!(
        tx,
        execute,
        "update blobs set check_at = null
        where check_at <= $1 and doomed_at is null and (
            exists (select 1 from files f where f.digest = blobs.digest)
            or exists (select 1 from file_variants v where v.digest = blobs.digest)
        )",
        now,
    )?;
    let doomed = sql!(
        tx, fetch_all One<String>,
        "update blobs set doomed_at = $1
        where digest in (
            select b.digest from blobs b
            where b.check_at <= $1 and (b.doomed_at is null or b.doomed_at <= $2)
            order by b.check_at
            limit $3
        ) and check_at <= $1 and (doomed_at is null or doomed_at <= $2)
            and not exists (select 1 from files f where f.digest = blobs.digest)
            and not exists (select 1 from file_variants v where v.digest = blobs.digest)
        returning digest",
        now, now - DELETING, limit,
    )?;
    Ok(doomed.into_iter().map(|(digest,)| digest).collect())
}

/// Forgets bytes that were doomed at `doomed_at` and are deleted; whether they still were.
pub async fn forget(tx: &mut Tx, digest: &str, doomed_at: DateTime<Utc>) -> Result<bool> {
    let rows = sql!(
        tx,
        execute,
        "delete from blobs where digest = $1 and doomed_at = $2",
        digest,
        doomed_at,
    )?;
    Ok(rows > 0)
}

fn refuse_doomed(rows: u64) -> Result<()> {
    if rows == 0 {
        return Err(Error::unavailable("the same bytes are being deleted"));
    }
    Ok(())
}
