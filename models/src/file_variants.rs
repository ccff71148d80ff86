//! What was made of a picture: sizes, each in a few formats.

use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

use chrono::{DateTime, Utc};

use crate::{
    blobs,
    db::{Conn, Tx},
    error::{Error, Result},
    id::FileId,
    sql,
    sql::Ids,
    words,
};

words! {
    /// The form of a variant.
    Format {
        /// What browsers of today read: the smallest.
        Webp = "webp",
        /// What everything reads.
        Jpeg = "jpeg",
    }
}

/// The most variants of one file.
pub const VARIANTS_MAX: i64 = 64;

/// A row of `file_variants`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Variant {
    /// Of which file.
    pub file_id: FileId,
    /// Which size.
    pub name: String,
    /// In which form.
    pub format: Format,
    /// Its width in pixels.
    pub width: i64,
    /// Its height in pixels.
    pub height: i64,
    /// The SHA-256 of its bytes, hexadecimal.
    pub digest: String,
    /// How many they are.
    pub size_bytes: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// How a variant is asked for: `card.webp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantName {
    /// Which size.
    pub name: String,
    /// In which form.
    pub format: Format,
}

impl FromStr for VariantName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, format) = text.split_once('.').ok_or(Error::NotFound("variant"))?;
        let format = format.parse().map_err(|_| Error::NotFound("variant"))?;
        Ok(Self {
            name: name.to_owned(),
            format,
        })
    }
}

/// Refuses more variants than a file may have: `too_many_variants`.
pub fn check<'v>(
    there: &'v [Variant],
    wanted: impl IntoIterator<Item = (&'v str, Format)>,
) -> Result<()> {
    let there = there.iter().map(|variant| (&*variant.name, variant.format));
    let all: BTreeSet<_> = there.chain(wanted).collect();
    if i64::try_from(all.len()).is_ok_and(|all| all <= VARIANTS_MAX) {
        return Ok(());
    }
    Err(Error::Conflict("too_many_variants"))
}

/// Stores variants of a file, whose bytes are reserved and in the storage; those of the same name are
/// replaced. `NotFound` when the file is gone, `too_many_variants` when there would be more than
/// [`VARIANTS_MAX`].
pub async fn put(tx: &mut Tx, file: FileId, new: &[Variant], now: DateTime<Utc>) -> Result<()> {
    // Whoever else adds to the file, or deletes it, waits: what is read here stays true.
    let held = sql!(
        tx,
        execute,
        "update files set name = name where id = $1",
        file
    )?;
    if held == 0 {
        return Err(Error::NotFound("file"));
    }
    let there = list(tx, file).await?;
    check(&there, new.iter().map(|one| (&*one.name, one.format)))?;
    let replaced = there.iter().filter(|old| {
        new.iter()
            .any(|one| (&one.name, one.format) == (&old.name, old.format))
    });
    let mut needed: BTreeMap<&str, bool> = replaced.map(|old| (&*old.digest, false)).collect();
    needed.extend(new.iter().map(|one| (&*one.digest, true)));
    // By digest: everybody takes the rows of bytes in the same order, so nobody waits for somebody
    // who waits.
    for (digest, needed) in needed {
        if needed {
            blobs::refer(tx, digest).await?;
        } else {
            blobs::release(tx, digest, now).await?;
        }
    }
    for one in new {
        insert(tx, file, one).await?;
    }
    Ok(())
}

async fn insert(tx: &mut Tx, file: FileId, new: &Variant) -> Result<()> {
    sql!(
        tx,
        execute,
        "insert into file_variants
            (file_id, name, format, width, height, digest, size_bytes, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (file_id, name, format) do update
        set width = excluded.width, height = excluded.height, digest = excluded.digest,
            size_bytes = excluded.size_bytes, created_at = excluded.created_at",
        file,
        &new.name,
        new.format,
        new.width,
        new.height,
        &new.digest,
        new.size_bytes,
        new.created_at,
    )?;
    Ok(())
}

/// A variant of a file, if it was made.
pub async fn find(conn: &mut Conn, file: FileId, wanted: &VariantName) -> Result<Option<Variant>> {
    sql!(
        conn, fetch_optional Variant,
        "select * from file_variants where file_id = $1 and name = $2 and format = $3",
        file, &wanted.name, wanted.format,
    )
}

/// The variants of a file, the smallest first.
pub async fn list(conn: &mut Conn, file: FileId) -> Result<Vec<Variant>> {
    list_of(conn, &[file]).await
}

/// The variants of several files, the smallest of each first, at most [`VARIANTS_MAX`] of each.
pub async fn list_of(conn: &mut Conn, files: &[FileId]) -> Result<Vec<Variant>> {
    sql!(
        conn, fetch_all Variant,
        postgres "select * from (
                select v.*, row_number() over (
                    partition by file_id order by width, height, name, format desc) as place
                from file_variants v where file_id = any($1)
            ) placed where place <= $2 order by file_id, place",
        sqlite "select * from (
                select v.*, row_number() over (
                    partition by file_id order by width, height, name, format desc) as place
                from file_variants v where file_id in (select unhex(value) from json_each($1))
            ) placed where place <= $2 order by file_id, place",
        files.iter().copied().collect::<Ids>(), VARIANTS_MAX,
    )
}
