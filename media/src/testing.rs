//! The way of an image without files and processes, for what looks for its weak places.

use std::io::Cursor;

use crate::{decode::decode, error::Error, limits::Limits, srgb};

/// Decodes `bytes` to at most `side` pixels across and down; answers width and height.
///
/// # Errors
/// What is wrong with the image.
pub fn decode_within(bytes: &[u8], side: u32, limits: &Limits) -> Result<[u32; 2], Error> {
    let (header, picture) = decode(Cursor::new(bytes), limits, |header| {
        [header.width.min(side), header.height.min(side)]
    })?;
    let picture = srgb::convert(&picture, header.profile.as_deref()).upright(header.orientation);
    Ok([picture.width, picture.height])
}
