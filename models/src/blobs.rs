//! Bytes in the storage, and when nobody needs them any more.
//!
//! The storage and the database cannot commit together, so the order decides: the row comes before
//! the bytes and goes after them. A row that is to be looked at has a time; who finds then that
//! nobody refers to it dooms it first, so that nobody refers to bytes that are being deleted.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::types::Json;

use crate::{
    db::Tx,
    error::{Error, Result},
    sql,
};

/// How long bytes lie that nobody refers to. Longer than it takes to refer to them once their name
/// is reserved.
pub const ORPHANED: TimeDelta = TimeDelta::hours(1);
/// Who dooms bytes has this long to delete them; then somebody else tries, or brings them again.
pub const DELETING: TimeDelta = TimeDelta::minutes(3);
/// When bytes that could not be deleted are tried again.
pub const POSTPONED: TimeDelta = TimeDelta::hours(1);

/// What was found when somebody looked at bytes whose time had come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Nobody refers to these digests: their bytes are the caller's to delete.
    pub doomed: Vec<String>,
    /// Whether there may be more to look at.
    pub more: bool,
}

/// Reserves the name of bytes before they get it; `bytes_being_deleted` for the moment in which the
/// same bytes are.
pub async fn reserve(tx: &mut Tx, digest: &str, size: i64, now: DateTime<Utc>) -> Result<()> {
    reserve_all(tx, &BTreeMap::from([(digest.to_owned(), size)]), now).await
}

/// The same for many, by digest with their sizes in bytes, all of them or none.
pub async fn reserve_all(
    tx: &mut Tx,
    sizes: &BTreeMap<String, i64>,
    now: DateTime<Utc>,
) -> Result<()> {
    let rows = sql!(
        tx, execute,
        postgres
        // By digest: everybody takes the rows of bytes in the same order, so nobody waits for somebody
        // who waits.
        "insert into blobs (digest, size_bytes, check_at, created_at)
        select key, cast(value as bigint), $2, $3 from jsonb_each_text($1) order by key
        on conflict (digest) do update set check_at = excluded.check_at, doomed_at = null
        where blobs.doomed_at is null or blobs.doomed_at <= $4",
        sqlite
        "insert into blobs (digest, size_bytes, check_at, created_at)
        select key, value, $2, $3 from json_each($1) where true
        on conflict (digest) do update set check_at = excluded.check_at, doomed_at = null
        where blobs.doomed_at is null or blobs.doomed_at <= $4",
        Json(sizes), now + ORPHANED, now, now - DELETING,
    )?;
    refuse_doomed(rows, sizes.len())
}

/// Says that somebody refers to reserved bytes from now on, in the transaction that does.
pub async fn refer(tx: &mut Tx, digest: &str) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update blobs set check_at = null where digest = $1 and doomed_at is null",
        digest,
    )?;
    refuse_doomed(rows, 1)
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

/// Looks at bytes whose time has come, at most `limit`, and dooms those that nobody refers to.
pub async fn doom(tx: &mut Tx, limit: i64, now: DateTime<Utc>) -> Result<Looked> {
    let looked = sql!(
        tx, fetch_all (String, Option<DateTime<Utc>>),
        postgres
        // What somebody else has in hand is passed over, so that nobody waits here.
        "update blobs
        set (check_at, doomed_at) = (
            select case when needed then null else blobs.check_at end,
                case when needed then null else $1 end
            from (select exists (select 1 from files f where f.digest = blobs.digest)
                or exists (select 1 from file_variants v where v.digest = blobs.digest) as needed
            ) looked)
        where digest = any(array(
            select b.digest from blobs b
            where b.check_at <= $1 and (b.doomed_at is null or b.doomed_at <= $2)
            order by b.check_at
            limit $3
            for update skip locked))
        returning digest, doomed_at",
        sqlite
        "update blobs
        set (check_at, doomed_at) = (
            select case when needed then null else blobs.check_at end,
                case when needed then null else $1 end
            from (select exists (select 1 from files f where f.digest = blobs.digest)
                or exists (select 1 from file_variants v where v.digest = blobs.digest) as needed
            ) looked)
        where digest in (
            select b.digest from blobs b
            where b.check_at <= $1 and (b.doomed_at is null or b.doomed_at <= $2)
            order by b.check_at
            limit $3)
        returning digest, doomed_at",
        now, now - DELETING, limit,
    )?;
    let more = i64::try_from(looked.len()).is_ok_and(|looked| looked >= limit);
    let doomed = looked
        .into_iter()
        .filter(|(_, doomed_at)| doomed_at.is_some());
    Ok(Looked {
        doomed: doomed.map(|(digest, _)| digest).collect(),
        more,
    })
}

/// Says that bytes which were doomed at `doomed_at` could not be deleted: they are tried again later,
/// after those that can.
pub async fn postpone(tx: &mut Tx, digest: &str, doomed_at: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update blobs set check_at = $3 where digest = $1 and doomed_at = $2",
        digest,
        doomed_at,
        doomed_at + POSTPONED,
    )?;
    Ok(())
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

fn refuse_doomed(rows: u64, wanted: usize) -> Result<()> {
    if rows != wanted as u64 {
        return Err(Error::Conflict("bytes_being_deleted"));
    }
    Ok(())
}
