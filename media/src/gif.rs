//! GIF: its first frame.

use std::{io::Read, num::NonZeroU64};

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, Frame, MemoryLimit};

use crate::{
    decode::unreadable,
    error::{Code, Error, Result},
    limits::Limits,
    picture::{Header, Orientation, Picture, Pixels},
    rows::Rows,
};

/// A GIF whose first frame comes next.
pub(crate) struct Gif<R: Read> {
    decoder: Decoder<R>,
    sides: [u32; 2],
    pixels: Pixels,
    limits: Limits,
}

/// Reads everything before the pixels of the first frame.
pub(crate) fn open<R: Read>(reader: R, limits: &Limits) -> Result<(Header, Gif<R>)> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let bytes = NonZeroU64::new(limits.memory_bytes_max / 2).unwrap_or(NonZeroU64::MIN);
    options.set_memory_limit(MemoryLimit::Bytes(bytes));
    let mut decoder = options.read_info(reader).map_err(refused)?;
    let mut sides = [decoder.width(), decoder.height()].map(u32::from);
    let frame = decoder.next_frame_info().map_err(refused)?;
    let frame = frame.ok_or_else(|| Error::truncated("a GIF without a frame"))?;
    if sides.contains(&0) {
        sides = [frame.width, frame.height].map(u32::from);
    }
    let covers = frame.left == 0
        && frame.top == 0
        && u32::from(frame.width) >= sides[0]
        && u32::from(frame.height) >= sides[1];
    let opaque = covers && frame.transparent.is_none();
    let header = Header {
        width: sides[0],
        height: sides[1],
        pixels: if opaque { Pixels::Rgb } else { Pixels::Rgba },
        orientation: Orientation::default(),
        profile: decoder.icc_profile().map(<[u8]>::to_vec),
    };
    let gif = Gif {
        decoder,
        sides,
        pixels: header.pixels,
        limits: limits.clone(),
    };
    Ok((header, gif))
}

impl<R: Read> Gif<R> {
    /// Decodes to exactly the size `to`.
    pub(crate) fn decode(mut self, to: [u32; 2]) -> Result<Picture> {
        let frame = self
            .decoder
            .current_frame_info()
            .cloned()
            .unwrap_or_default();
        let pixels = u64::from(frame.width) * u64::from(frame.height);
        if pixels > self.limits.pixels_max {
            return Err(Error::refused(
                Code::TooManyPixels,
                "its first frame is larger than it",
            ));
        }
        let mut indices = vec![0; usize::from(frame.width) * usize::from(frame.height)];
        self.decoder
            .read_into_buffer(&mut indices)
            .map_err(refused)?;
        let palette = self.decoder.palette().map_err(refused)?;
        let mut rows = Rows::new(self.sides, to, self.pixels, self.limits.memory_bytes_max)?;
        for y in 0..self.sides[1] as usize {
            write_row(&frame, &indices, palette, y, self.pixels, rows.next()?);
        }
        rows.finish()
    }
}

/// One row of the canvas: transparent where the frame does not reach.
fn write_row(
    frame: &Frame<'_>,
    indices: &[u8],
    palette: &[u8],
    y: usize,
    pixels: Pixels,
    row: &mut [u8],
) {
    row.fill(0);
    let (width, left) = (usize::from(frame.width), usize::from(frame.left));
    let channels = pixels.channels();
    let Some(y) = y.checked_sub(usize::from(frame.top)) else {
        return;
    };
    let (Some(line), Some(row)) = (
        indices.get(y * width..(y + 1) * width),
        row.get_mut(left * channels..),
    ) else {
        return;
    };
    for (pixel, index) in row.chunks_exact_mut(channels).zip(line) {
        if frame.transparent == Some(*index) {
            continue;
        }
        // An index beyond the palette is black, as in browsers.
        let at = 3 * usize::from(*index);
        pixel[..3].copy_from_slice(palette.get(at..at + 3).unwrap_or(&[0, 0, 0]));
        if let Some(alpha) = pixel.get_mut(3) {
            *alpha = 255;
        }
    }
}

fn refused(error: DecodingError) -> Error {
    match error {
        DecodingError::Io(error) => unreadable(error),
        DecodingError::UnexpectedEof => Error::truncated("the file ends before its picture"),
        DecodingError::MemoryLimit | DecodingError::OutOfMemory => {
            Error::refused(Code::TooMuchMemory, "the GIF")
        }
        other => Error::corrupt(format!("no valid GIF: {other}")),
    }
}
