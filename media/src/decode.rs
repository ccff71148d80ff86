//! From a file to a picture of about the wanted size: what it is, whether it may be, and then pixels.

use std::io::{self, BufRead, Seek};

#[cfg(feature = "more-formats")]
use image::ImageFormat;

#[cfg(feature = "more-formats")]
use crate::more;
use crate::{
    error::{Code, Error, Result},
    gif, jpeg,
    limits::Limits,
    picture::{Header, Picture},
    png, webp,
};

/// The first bytes that say what a file is.
const MAGIC_BYTES: u64 = 18;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Jpeg,
    Png,
    Webp,
    Gif,
    #[cfg(feature = "more-formats")]
    More(ImageFormat),
}

/// Decodes to the size that `size` asks for once it has seen the header: width and height as stored,
/// neither larger than the picture.
pub(crate) fn decode<R: BufRead + Seek>(
    mut reader: R,
    limits: &Limits,
    size: impl FnOnce(&Header) -> [u32; 2],
) -> Result<(Header, Picture)> {
    let kind = kind(&mut reader)?;
    let size = |header: &Header| {
        check(header, limits)?;
        Ok::<_, Error>(size(header))
    };
    match kind {
        Kind::Jpeg => {
            let bytes = read(reader, limits)?;
            let (header, jpeg) = jpeg::open(&bytes, limits)?;
            let [width, height] = size(&header)?;
            Ok((header, jpeg.decode(width, height)?))
        }
        Kind::Webp => {
            let bytes = read(reader, limits)?;
            let (header, webp) = webp::open(&bytes, limits)?;
            let to = size(&header)?;
            Ok((header, webp.decode(to)?))
        }
        Kind::Png => {
            let (header, png) = png::open(reader, limits)?;
            let to = size(&header)?;
            Ok((header, png.decode(to)?))
        }
        Kind::Gif => {
            let (header, gif) = gif::open(reader, limits)?;
            let to = size(&header)?;
            Ok((header, gif.decode(to)?))
        }
        #[cfg(feature = "more-formats")]
        Kind::More(format) => {
            let bytes = read(reader, limits)?;
            let (header, more) = more::open(&bytes, format, limits)?;
            let to = size(&header)?;
            Ok((header, more.decode(to)?))
        }
    }
}

/// What a file is, by its first bytes; never by its name.
fn kind<R: BufRead + Seek>(reader: &mut R) -> Result<Kind> {
    let mut magic = Vec::new();
    let mut beginning = io::Read::take(&mut *reader, MAGIC_BYTES);
    io::Read::read_to_end(&mut beginning, &mut magic).map_err(unreadable)?;
    reader.rewind().map_err(unreadable)?;
    match magic.as_slice() {
        [] => Err(Error::refused(Code::Empty, "it has no bytes")),
        [0xff, 0xd8, 0xff, ..] => Ok(Kind::Jpeg),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Ok(Kind::Png),
        [b'R', b'I', b'F', b'F', rest @ ..] if rest.get(4..8) == Some(b"WEBP") => Ok(Kind::Webp),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Kind::Gif),
        #[cfg(feature = "more-formats")]
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Ok(Kind::More(ImageFormat::Tiff)),
        // Two letters would be text, too: behind them is how long one of seven headers is.
        #[cfg(feature = "more-formats")]
        [b'B', b'M', .., 12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0] => {
            Ok(Kind::More(ImageFormat::Bmp))
        }
        _ => Err(Error::unsupported("it is of no type that is read here")),
    }
}

fn read(reader: impl BufRead, limits: &Limits) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One more byte than is allowed shows that there is more.
    let mut bounded = io::Read::take(reader, limits.bytes_max + 1);
    io::Read::read_to_end(&mut bounded, &mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limits.bytes_max {
        return Err(Error::refused(Code::TooManyBytes, "the file is too large"));
    }
    Ok(bytes)
}

fn check(header: &Header, limits: &Limits) -> Result<()> {
    check_pixels(header.width, header.height, limits)?;
    let profile = header.profile.as_ref().map_or(0, Vec::len);
    if profile > limits.metadata_bytes_max {
        return Err(Error::refused(
            Code::TooMuchMetadata,
            "its colour profile is too large",
        ));
    }
    Ok(())
}

/// What can be said as soon as the sides are known; decoders that prepare rows ask before they do.
pub(crate) fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<()> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels_max {
        let detail = "it has too many pixels";
        return Err(Error::refused(Code::TooManyPixels, detail));
    }
    if pixels == 0 {
        return Err(Error::corrupt("it has no pixels"));
    }
    Ok(())
}

/// The file, not the image, is at fault.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn unreadable(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Error::truncated("the file ends before its picture");
    }
    Error::Files(format!("the source cannot be read: {error}"))
}
