//! PNG, row by row.

use std::io::{BufRead, Seek};

use png::{BitDepth, ColorType, Decoder, DecodingError, Reader, Transformations};

use crate::{
    decode::{check_pixels, unreadable},
    error::{Code, Error, Result},
    exif,
    limits::Limits,
    picture::{Header, Picture, Pixels},
    rows::Rows,
};

/// Bytes of a palette: 256 colours.
const PALETTE_BYTES_MAX: usize = 3 * 256;

/// A PNG whose header was read.
pub(crate) struct Png<R: BufRead + Seek> {
    reader: Reader<R>,
    pixels: Pixels,
    memory_bytes_max: u64,
}

/// Reads everything before the first pixel.
pub(crate) fn open<R: BufRead + Seek>(reader: R, limits: &Limits) -> Result<(Header, Png<R>)> {
    let bytes = usize::try_from(limits.memory_bytes_max / 4).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new_with_limits(reader, png::Limits { bytes });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    let info = decoder.read_header_info().map_err(refused)?;
    check_pixels(info.width, info.height, limits)?;
    let reader = decoder.read_info().map_err(refused)?;
    let pixels = match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => Pixels::Gray,
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => Pixels::GrayAlpha,
        (ColorType::Rgb, BitDepth::Eight) => Pixels::Rgb,
        (ColorType::Rgba, BitDepth::Eight) => Pixels::Rgba,
        _ => return Err(Error::unsupported("a PNG of a kind that does not exist")),
    };
    let info = reader.info();
    // The decoder would count on whole colours, and on no more than there are indices.
    let palette = info.palette.as_deref().map_or(0, <[u8]>::len);
    if info.color_type == ColorType::Indexed
        && (!palette.is_multiple_of(3) || palette > PALETTE_BYTES_MAX)
    {
        return Err(Error::corrupt("a palette of no whole colours, or too many"));
    }
    let exif = info.exif_metadata.as_deref().unwrap_or_default();
    if exif.len() > limits.metadata_bytes_max {
        return Err(Error::refused(
            Code::TooMuchMetadata,
            "its EXIF is too large",
        ));
    }
    let header = Header {
        width: info.width,
        height: info.height,
        pixels,
        orientation: exif::orientation(exif),
        profile: info.icc_profile.as_deref().map(<[u8]>::to_vec),
    };
    let png = Png {
        reader,
        pixels,
        memory_bytes_max: limits.memory_bytes_max,
    };
    Ok((header, png))
}

impl<R: BufRead + Seek> Png<R> {
    /// Decodes to exactly the size `to`.
    pub(crate) fn decode(mut self, to: [u32; 2]) -> Result<Picture> {
        let info = self.reader.info();
        let (from, interlaced) = ([info.width, info.height], info.interlaced);
        let mut rows = Rows::new(from, to, self.pixels, self.memory_bytes_max)?;
        let stride = from[0] as usize * self.pixels.channels();
        if self.reader.output_line_size(from[0]) != Some(stride) {
            return Err(Error::corrupt("rows of another length"));
        }
        if interlaced {
            self.whole(&mut rows, stride)?;
        } else {
            for _ in 0..from[1] {
                let row = self.reader.read_row(rows.next()?).map_err(refused)?;
                row.ok_or_else(|| Error::truncated("rows are missing"))?;
            }
            // The checksum stands behind the last row.
            self.reader
                .read_row(&mut vec![0; stride])
                .map_err(refused)?;
        }
        rows.finish()
    }

    /// Interlaced rows come in seven passes, so all must be there before the first is complete.
    fn whole(&mut self, rows: &mut Rows, stride: usize) -> Result<()> {
        let bytes = self.reader.output_buffer_size().unwrap_or(usize::MAX);
        if bytes as u64 > self.memory_bytes_max / 2 {
            return Err(Error::refused(Code::TooMuchMemory, "an interlaced PNG"));
        }
        let mut frame = vec![0; bytes];
        self.reader.next_frame(&mut frame).map_err(refused)?;
        for row in frame.chunks_exact(stride) {
            rows.next()?.copy_from_slice(row);
        }
        Ok(())
    }
}

fn refused(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) => unreadable(error),
        DecodingError::LimitsExceeded => Error::refused(Code::TooMuchMemory, "the PNG"),
        other => Error::corrupt(format!("no valid PNG: {other}")),
    }
}
