//! BMP and TIFF, through `image`: what the feature `more-formats` adds.

use std::io::{Cursor, ErrorKind};

use image::{ColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, error::LimitErrorKind};

use crate::{
    decode::check_pixels,
    error::{Code, Error, Result},
    limits::Limits,
    picture::{Header, Orientation, Picture, Pixels},
    rows::Rows,
};

/// An image whose header was read.
pub(crate) struct More<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    pixels: Pixels,
    /// Bytes of a channel, of which the upper one is kept.
    depth: usize,
    memory_bytes_max: u64,
}

/// Reads everything but the pixels.
pub(crate) fn open<'a>(
    bytes: &'a [u8],
    format: ImageFormat,
    limits: &Limits,
) -> Result<(Header, More<'a>)> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut bounds = image::Limits::default();
    bounds.max_image_width = u32::try_from(limits.pixels_max).ok();
    bounds.max_image_height = bounds.max_image_width;
    bounds.max_alloc = Some(limits.memory_bytes_max / 2);
    reader.limits(bounds);
    let mut decoder = Box::new(reader.into_decoder().map_err(refused)?);
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    let (pixels, depth) = match decoder.color_type() {
        ColorType::L8 => (Pixels::Gray, 1),
        ColorType::La8 => (Pixels::GrayAlpha, 1),
        ColorType::Rgb8 => (Pixels::Rgb, 1),
        ColorType::Rgba8 => (Pixels::Rgba, 1),
        ColorType::L16 => (Pixels::Gray, 2),
        ColorType::La16 => (Pixels::GrayAlpha, 2),
        ColorType::Rgb16 => (Pixels::Rgb, 2),
        ColorType::Rgba16 => (Pixels::Rgba, 2),
        _ => return Err(Error::unsupported("colours that are no whole numbers")),
    };
    let orientation = decoder.orientation().map_err(refused)?.to_exif();
    let header = Header {
        width,
        height,
        pixels,
        orientation: Orientation::from_exif(orientation.into()).unwrap_or_default(),
        profile: decoder.icc_profile().map_err(refused)?,
    };
    let more = More {
        decoder,
        pixels,
        depth,
        memory_bytes_max: limits.memory_bytes_max,
    };
    Ok((header, more))
}

impl More<'_> {
    /// Decodes to exactly the size `to`.
    pub(crate) fn decode(self, to: [u32; 2]) -> Result<Picture> {
        let (width, height) = self.decoder.dimensions();
        let bytes = self.decoder.total_bytes();
        // There is no part of it to be had, and a TIFF is there twice for a moment.
        if bytes > self.memory_bytes_max / 3 {
            return Err(Error::refused(
                Code::TooMuchMemory,
                "so large a BMP or TIFF",
            ));
        }
        let mut whole = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        self.decoder.read_image_boxed(&mut whole).map_err(refused)?;
        let mut rows = Rows::new([width, height], to, self.pixels, self.memory_bytes_max)?;
        let stride = width as usize * self.pixels.channels() * self.depth;
        for row in whole.chunks_exact(stride) {
            let place = rows.next()?;
            if self.depth == 1 {
                place.copy_from_slice(row);
                continue;
            }
            let (deep, _) = row.as_chunks::<2>();
            for (byte, deep) in place.iter_mut().zip(deep) {
                *byte = u16::from_ne_bytes(*deep).to_be_bytes()[0];
            }
        }
        rows.finish()
    }
}

fn refused(error: ImageError) -> Error {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Error::truncated("the file ends before its picture")
        }
        ImageError::Limits(limit) if limit.kind() == LimitErrorKind::DimensionError => {
            Error::refused(Code::TooManyPixels, "it has too many pixels")
        }
        ImageError::Limits(_) => Error::refused(Code::TooMuchMemory, "the BMP or TIFF"),
        ImageError::Unsupported(_) => Error::unsupported("a BMP or TIFF of a kind that is rare"),
        other => Error::corrupt(format!("no valid BMP or TIFF: {other}")),
    }
}
