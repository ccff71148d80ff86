//! Passwords that were stolen elsewhere: a list of their SHA-1 digests in order, as haveibeenpwned.com gives out.
//!
//! The list has tens of gigabytes, so it stays where it is: a password costs some thirty short reads of the file.

use std::{
    cmp::Ordering,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    path::PathBuf,
    str::FromStr,
};

use data_encoding::HEXUPPER;
use sha1::{Digest as _, Sha1};

use crate::error::{Error, Result};

/// Digits of a digest.
const DIGITS: usize = 40;
/// The longest line: a digest, a colon, a number and the end of the line.
const LINE_BYTES_MAX: u64 = 64;

/// A list of passwords that nobody should choose. The file may be replaced while it is used.
#[derive(Clone, Debug)]
pub struct Breached {
    path: PathBuf,
}

/// The list cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be a list of SHA-1 digests in order, with lines like DIGEST or DIGEST:COUNT, and this is none: {0}. \
    PwnedPasswordsDownloader makes one; without LYO_BREACHED_PASSWORDS no list is looked at"
)]
pub struct BreachedError(#[from] io::Error);

impl FromStr for Breached {
    type Err = BreachedError;

    fn from_str(path: &str) -> Result<Self, BreachedError> {
        let list = Self { path: path.into() };
        list.inspect()?;
        Ok(list)
    }
}

impl Breached {
    /// Refuses a password that is in the list. The pointer is `/password`.
    pub fn check(&self, password: &str) -> Result<()> {
        let found = self.has(password).map_err(|error| {
            Error::broken(format!("the list of breached passwords fails: {error}"))
        })?;
        if found {
            let reason = "is known from a theft elsewhere: choose one that is used nowhere else";
            return Err(Error::invalid("/password", reason));
        }
        Ok(())
    }

    fn has(&self, password: &str) -> io::Result<bool> {
        let digest = HEXUPPER.encode(&Sha1::digest(password));
        let (mut file, mut left) = self.open()?;
        while !left.is_empty() {
            let (found, line) = line_at(&mut file, left.start + (left.end - left.start) / 2)?;
            match digest.cmp(&found) {
                Ordering::Equal => return Ok(true),
                Ordering::Less => left.end = line.start,
                Ordering::Greater => left.start = line.end,
            }
        }
        Ok(false)
    }

    /// Looks at the first line and at the last one: a whole list takes minutes to read.
    fn inspect(&self) -> io::Result<()> {
        let (mut file, bytes) = self.open()?;
        let (first, _) = line_at(&mut file, 0)?;
        let (last, _) = line_at(&mut file, bytes.end.saturating_sub(1))?;
        if first > last {
            return Err(malformed("the last digest comes before the first"));
        }
        Ok(())
    }

    fn open(&self) -> io::Result<(File, Range<u64>)> {
        let file = File::open(&self.path)?;
        let bytes = 0..file.metadata()?.len();
        Ok((file, bytes))
    }
}

/// The digest of the line that this byte is of, in capitals, and where that line is.
fn line_at(file: &mut File, at: u64) -> io::Result<(String, Range<u64>)> {
    let from = at.saturating_sub(LINE_BYTES_MAX);
    let mut window = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(2 * LINE_BYTES_MAX).read_to_end(&mut window)?;
    let middle = usize::try_from(at - from).map_err(io::Error::other)?;
    let (before, after) = window
        .split_at_checked(middle)
        .ok_or_else(|| malformed("it became shorter"))?;
    let start = before.iter().rposition(|byte| *byte == b'\n');
    let end = after.iter().position(|byte| *byte == b'\n');
    let start = start.map_or(0, |feed| feed + 1);
    let end = end.map_or(window.len(), |feed| middle + feed + 1);
    let digest = window[start..end].get(..DIGITS).unwrap_or_default();
    let next = window[start..end].get(DIGITS);
    let ended = next.is_none_or(|next| b":\r\n".contains(next));
    if digest.is_empty() || !ended || !digest.iter().all(u8::is_ascii_hexdigit) {
        return Err(malformed(
            "a line does not begin with 40 hexadecimal digits",
        ));
    }
    let digest = String::from_utf8_lossy(digest).to_ascii_uppercase();
    let place = |offset: usize| u64::try_from(offset).map(|offset| from + offset);
    let start = place(start).map_err(io::Error::other)?;
    let end = place(end).map_err(io::Error::other)?;
    Ok((digest, start..end))
}

fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
