//! What the files of an owner add up to, and how much that may be.

use crate::{
    db::{Conn, Tx},
    error::{Error, Result},
    id::OwnerId,
    sql,
};

/// The most files of one owner.
pub const FILES_MAX: i64 = 100_000;
/// The most bytes of one owner: 20 GiB.
pub const OWNER_BYTES_MAX: i64 = 20 * 1024 * 1024 * 1024;

/// What an owner has, uploads that have not ended included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Usage {
    /// How many files.
    pub files: i64,
    /// How many bytes, each file counted in full, whoever else has the same.
    pub size_bytes: i64,
}

impl Usage {
    /// How many bytes there is still room for: none once there are too many files.
    pub fn room(&self) -> i64 {
        if self.files >= FILES_MAX {
            return 0;
        }
        (OWNER_BYTES_MAX - self.size_bytes).max(0)
    }
}

/// What an owner has.
pub async fn get(conn: &mut Conn, owner: OwnerId) -> Result<Usage> {
    let usage = sql!(
        conn, fetch_optional Usage,
        "select files, size_bytes from file_usage where owner_id = $1",
        owner,
    )?;
    Ok(usage.unwrap_or_default())
}

/// Counts one more file of this size, or refuses it as `quota_exceeded`.
pub async fn charge(tx: &mut Tx, owner: OwnerId, size: i64) -> Result<()> {
    sql!(
        tx,
        execute,
        "insert into file_usage (owner_id, files, size_bytes) values ($1, 0, 0)
        on conflict (owner_id) do nothing",
        owner,
    )?;
    let rows = sql!(
        tx,
        execute,
        "update file_usage set files = files + 1, size_bytes = size_bytes + $2
        where owner_id = $1 and files < $3 and size_bytes + $2 <= $4",
        owner,
        size,
        FILES_MAX,
        OWNER_BYTES_MAX,
    )?;
    if rows == 0 {
        return Err(Error::Conflict("quota_exceeded"));
    }
    Ok(())
}

/// Counts one file of this size less.
pub async fn discharge(tx: &mut Tx, owner: OwnerId, size: i64) -> Result<()> {
    sql!(
        tx,
        execute,
        "update file_usage set files = files - 1, size_bytes = size_bytes - $2
        where owner_id = $1",
        owner,
        size,
    )?;
    Ok(())
}
