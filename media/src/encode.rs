//! From pixels to the bytes of a variant. Nothing but pixels is ever written.

use jpeg_encoder::{ColorType, Encoder};
use webpx::{EncoderConfig, EncodingError, Unstoppable};

use crate::{
    error::{Code, Error, Result},
    picture::{Picture, Pixels},
    wanted::Format,
};

/// The quality of both formats, of 100.
const QUALITY: u8 = 80;

/// How libwebp writes a picture.
struct Effort {
    /// 0 to 6, where 4 is usual.
    method: u8,
    /// How much the edges of blocks are smoothed, 0 to 100, where 60 is usual.
    filter: u8,
}

/// Most of the time goes into large pictures. Method 2 takes half as long as 4 for 2 to 3 % more bytes,
/// and leaves more of the edges of blocks: the strongest filter gives back half of what that costs in
/// likeness. The example `effort` and `bench/run images` say what others cost.
const LARGE: Effort = Effort {
    method: 2,
    filter: 100,
};

/// In small ones there is little time to be saved, and 4 % of the bytes to be lost.
const SMALL: Effort = Effort {
    method: 4,
    filter: 60,
};

/// A picture of fewer pixels is small.
const LARGE_PIXELS: u64 = 200_000;

/// JFIF's segment behind its marker.
const JFIF_BYTES: u8 = 16;

/// What shows where a picture is transparent and the format is not.
const PAPER: u8 = 255;

/// Encodes a picture of red, green and blue, with or without alpha.
pub(crate) fn encode(picture: &Picture, format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Webp => webp(picture),
        Format::Jpeg => jpeg(picture),
    }
}

fn webp(picture: &Picture) -> Result<Vec<u8>> {
    let pixels = u64::from(picture.width) * u64::from(picture.height);
    let effort = if pixels < LARGE_PIXELS { SMALL } else { LARGE };
    let config = EncoderConfig::new()
        .quality(f32::from(QUALITY))
        .method(effort.method)
        .filter_strength(effort.filter);
    let (bytes, width, height) = (&picture.bytes, picture.width, picture.height);
    let encoded = match picture.pixels {
        Pixels::Rgba => config.encode_rgba(bytes, width, height, Unstoppable),
        _ => config.encode_rgb(bytes, width, height, Unstoppable),
    };
    encoded.map_err(|error| unencoded(error.error()))
}

fn jpeg(picture: &Picture) -> Result<Vec<u8>> {
    let flat;
    let pixels = if picture.pixels == Pixels::Rgba {
        flat = on_paper(&picture.bytes);
        &flat
    } else {
        &picture.bytes
    };
    let side = |side: u32| u16::try_from(side).map_err(|error| unwritten(&error));
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, QUALITY);
    encoder.set_optimized_huffman_tables(true);
    let done = encoder.encode(pixels, width, height, ColorType::Rgb);
    done.map_err(|error| unwritten(&error))?;
    Ok(without_density(bytes))
}

/// A JPEG without JFIF's segment, which says how many dots are an inch: of the smallest pictures it is
/// more than half a percent.
fn without_density(mut bytes: Vec<u8>) -> Vec<u8> {
    let begin = [0xff, 0xd8, 0xff, 0xe0, 0, JFIF_BYTES];
    if bytes.starts_with(&begin) && bytes.len() > 4 + usize::from(JFIF_BYTES) {
        bytes.drain(2..4 + usize::from(JFIF_BYTES));
    }
    bytes
}

fn on_paper(bytes: &[u8]) -> Vec<u8> {
    let blend = |colour: u8, alpha: u8| {
        let (alpha, paper) = (u16::from(alpha), u16::from(PAPER));
        let sum = u16::from(colour) * alpha + paper * (255 - alpha);
        u8::try_from((sum + 127) / 255).unwrap_or(255)
    };
    let pixels = bytes.chunks_exact(4);
    pixels
        .flat_map(|it| [0, 1, 2].map(|at| blend(it[at], it[3])))
        .collect()
}

/// What libwebp has no memory for is not of an unknown type.
fn unencoded(error: &webpx::Error) -> Error {
    match error {
        webpx::Error::OutOfMemory
        | webpx::Error::EncodeFailed(
            EncodingError::OutOfMemory | EncodingError::BitstreamOutOfMemory,
        ) => Error::refused(Code::TooMuchMemory, "so large a variant of it"),
        other => unwritten(other),
    }
}

fn unwritten(error: &impl std::fmt::Display) -> Error {
    Error::unsupported(format!("a variant cannot be encoded: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparent_pixels_show_the_paper() {
        assert_eq!(
            on_paper(&[0, 9, 255, 0, 0, 9, 255, 255]),
            [255, 255, 255, 0, 9, 255]
        );
        assert_eq!(on_paper(&[0, 100, 200, 128]), [127, 177, 227]);
    }

    #[test]
    fn a_jpeg_begins_with_what_its_pixels_need() -> Result<()> {
        let picture = Picture {
            width: 8,
            height: 8,
            pixels: Pixels::Rgb,
            bytes: vec![90; 192],
        };

        let bytes = encode(&picture, Format::Jpeg)?;

        assert_eq!(bytes[..3], [0xff, 0xd8, 0xff]);
        assert_ne!(bytes[3], 0xe0, "JFIF");
        assert_eq!(without_density(bytes.clone()), bytes);
        Ok(())
    }

    #[test]
    fn memory_that_is_missing_is_no_unknown_type() {
        let missing = [
            EncodingError::OutOfMemory,
            EncodingError::BitstreamOutOfMemory,
        ];

        for error in missing.map(webpx::Error::EncodeFailed) {
            assert_eq!(unencoded(&error).code(), "too_much_memory", "{error}");
        }
    }
}
