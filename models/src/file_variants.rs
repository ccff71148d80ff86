//! What was made of a picture: sizes, each in a few formats.

use std::str::FromStr;

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

/// Stores a variant whose bytes are reserved and in the storage; one of the same name is replaced.
pub async fn put(tx: &mut Tx, new: &Variant) -> Result<()> {
    let replaced = find(
        tx,
        new.file_id,
        &VariantName {
            name: new.name.clone(),
            format: new.format,
        },
    )
    .await?;
    blobs::refer(tx, &new.digest).await?;
    sql!(
        tx,
        execute,
        "insert into file_variants
            (file_id, name, format, width, height, digest, size_bytes, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict (file_id, name, format) do update
        set width = excluded.width, height = excluded.height, digest = excluded.digest,
            size_bytes = excluded.size_bytes, created_at = excluded.created_at",
        new.file_id,
        &new.name,
        new.format,
        new.width,
        new.height,
        &new.digest,
        new.size_bytes,
        new.created_at,
    )?;
    match replaced {
        Some(old) if old.digest != new.digest => {
            blobs::release(tx, &old.digest, new.created_at).await
        }
        _ => Ok(()),
    }
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

/// The variants of several files, the smallest of each first.
pub async fn list_of(conn: &mut Conn, files: &[FileId]) -> Result<Vec<Variant>> {
    let limit = VARIANTS_MAX.saturating_mul(i64::try_from(files.len()).unwrap_or(i64::MAX));
    sql!(
        conn, fetch_all Variant,
        postgres "select * from file_variants where file_id = any($1)
            order by file_id, width, height, name, format desc limit $2",
        sqlite "select * from file_variants
            where file_id in (select unhex(value) from json_each($1))
            order by file_id, width, height, name, format desc limit $2",
        files.iter().copied().collect::<Ids>(), limit,
    )
}
