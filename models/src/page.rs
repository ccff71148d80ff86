//! Keyset pages: a cursor names the last row seen, so rows that arrive meanwhile shift nothing.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::error::{Error, Result};

/// One page of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows, at most as many as the limit.
    pub items: Vec<T>,
    /// Where the next page starts; none on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// A page of rows that were fetched with one more than the limit, to learn whether more follow.
    pub fn new(mut rows: Vec<T>, limit: Limit, cursor: impl Fn(&T) -> Cursor) -> Self {
        let more = rows.len() > limit.rows();
        rows.truncate(limit.rows());
        let next = rows.last().filter(|_| more).map(cursor);
        Self { items: rows, next }
    }
}

/// A place in a list ordered by creation time and id; opaque text to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the last row seen was created.
    pub created_at: DateTime<Utc>,
    /// The id of that row.
    pub id: Uuid,
}

impl Cursor {
    /// Above every row: where the first page starts.
    ///
    /// A value rather than an absent one, so that the query has one form and uses its index.
    pub fn start() -> Self {
        // Year 9999: the text of a later one would not sort in SQLite.
        let created_at = DateTime::from_timestamp(253_402_300_799, 0).unwrap_or_default();
        Self {
            created_at,
            id: Uuid::max(),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:016x}{}",
            self.created_at.timestamp_micros(),
            self.id.simple()
        )
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let created_at = i64::from_str_radix(text.get(..16)?, 16).ok()?;
            let created_at = DateTime::from_timestamp_micros(created_at)?;
            let id = Uuid::try_parse(text.get(16..).filter(|id| id.len() == 32)?).ok()?;
            Some(Self { created_at, id })
        };
        parse().ok_or_else(|| Error::invalid("/cursor", "is not a cursor of this list"))
    }
}

/// How many rows a page holds: 1 to 100, 20 unless told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u8);

impl Limit {
    /// The largest page.
    pub const MAX: u32 = 100;

    /// A limit, or `Invalid` outside of 1 to 100.
    pub fn new(rows: u32) -> Result<Self> {
        match u8::try_from(rows) {
            Ok(rows @ 1..=100) => Ok(Self(rows)),
            _ => Err(Error::invalid("/limit", "must be from 1 to 100")),
        }
    }

    /// As a number of rows.
    pub fn rows(self) -> usize {
        usize::from(self.0)
    }

    /// One more than the limit, which is what a query asks for: see [`Page::new`].
    pub fn and_one(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() -> Result<()> {
        let created_at = "2026-11-21T04:05:06.123456Z".parse().unwrap_or_default();
        let cursor = Cursor {
            created_at,
            id: Uuid::now_v7(),
        };

        assert_eq!(cursor.to_string().parse::<Cursor>()?, cursor);
        assert_eq!(
            Cursor::start().to_string().parse::<Cursor>()?,
            Cursor::start()
        );
        Ok(())
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "abc",
            "zz",
            &"0".repeat(47),
            &"0".repeat(49),
            &"é".repeat(24),
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text:?} is no cursor");
        }
    }

    #[test]
    fn a_limit_has_bounds() {
        assert!(Limit::new(0).is_err());
        assert!(Limit::new(101).is_err());
        assert_eq!(Limit::default().rows(), 20);
    }
}
