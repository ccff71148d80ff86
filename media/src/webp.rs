//! WebP through libwebp, which makes it smaller while it decodes.

use webpx::{BitstreamFormat, Decoder, DecoderConfig, DecodingError, ImageInfo};

use crate::{
    error::{Code, Error, Result},
    exif,
    limits::Limits,
    picture::{Header, Orientation, Picture, Pixels},
    rows::Rows,
};

/// A WebP whose header was read.
pub(crate) struct Webp<'a> {
    bytes: &'a [u8],
    info: ImageInfo,
    memory_bytes_max: u64,
}

/// Reads everything but the pixels.
pub(crate) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Webp<'a>)> {
    let chunks = Chunks::read(bytes, limits.metadata_bytes_max)?;
    let info = ImageInfo::from_webp(bytes).map_err(|error| refused(error.error()))?;
    let header = Header {
        width: info.width,
        height: info.height,
        pixels: pixels(&info),
        orientation: chunks.orientation,
        profile: chunks.profile,
    };
    let webp = Webp {
        bytes,
        info,
        memory_bytes_max: limits.memory_bytes_max,
    };
    Ok((header, webp))
}

impl Webp<'_> {
    /// Decodes to exactly the size `to`.
    pub(crate) fn decode(self, to: [u32; 2]) -> Result<Picture> {
        let whole = [self.info.width, self.info.height];
        let scaled = !self.info.has_animation && to[0] < whole[0] && to[1] < whole[1];
        let from = if scaled { to } else { whole };
        self.check_memory(from)?;
        let mut config = DecoderConfig::new().limits(webpx::Limits::none());
        if scaled {
            config = config.scale(from[0], from[1]);
        }
        let decoder = Decoder::new(self.bytes).map_err(|error| refused(error.error()))?;
        let decoder = decoder.config(config);
        let pixels = pixels(&self.info);
        let decoded = match pixels {
            Pixels::Rgba => decoder.decode_rgba_raw(),
            _ => decoder.decode_rgb_raw(),
        };
        let (bytes, width, height) = decoded.map_err(|error| refused(error.error()))?;
        if [width, height] != from {
            return Err(Error::corrupt(
                "a WebP of another size than its header says",
            ));
        }
        if from == to {
            return Ok(Picture {
                width,
                height,
                pixels,
                bytes,
            });
        }
        let mut rows = Rows::new(from, to, pixels, self.memory_bytes_max)?;
        for row in bytes.chunks_exact(width as usize * pixels.channels()) {
            rows.next()?.copy_from_slice(row);
        }
        rows.finish()
    }

    /// Lossless pictures and animations are decoded whole, whatever size is wanted.
    fn check_memory(&self, output: [u32; 2]) -> Result<()> {
        let whole = u64::from(self.info.width) * u64::from(self.info.height);
        let canvas = match (self.info.has_animation, self.info.format) {
            (true, _) => 12 * whole,
            (false, BitstreamFormat::Lossless) => 4 * whole,
            _ => whole,
        };
        let bytes = canvas + 4 * u64::from(output[0]) * u64::from(output[1]);
        if bytes > self.memory_bytes_max / 4 * 3 {
            return Err(Error::refused(Code::TooMuchMemory, "the WebP"));
        }
        Ok(())
    }
}

/// The frames of an animation need not cover it.
fn pixels(info: &ImageInfo) -> Pixels {
    if info.has_alpha || info.has_animation {
        Pixels::Rgba
    } else {
        Pixels::Rgb
    }
}

/// What is wanted of the chunks beside the picture.
struct Chunks {
    orientation: Orientation,
    profile: Option<Vec<u8>>,
}

impl Chunks {
    fn read(bytes: &[u8], metadata_bytes_max: usize) -> Result<Self> {
        let mut found = Self {
            orientation: Orientation::default(),
            profile: None,
        };
        let size = le32(bytes, 4).unwrap_or(0);
        let mut rest = bytes
            .get(12..size.saturating_add(8))
            .ok_or_else(|| Error::truncated("the file is shorter than it says"))?;
        while let (Some(name), Some(size)) = (rest.get(..4), le32(rest, 4)) {
            let Some(body) = rest.get(8..size.saturating_add(8)) else {
                return Err(Error::truncated("a chunk is shorter than it says"));
            };
            if matches!(name, b"ICCP" | b"EXIF") && size > metadata_bytes_max {
                return Err(Error::refused(Code::TooMuchMetadata, "profile or EXIF"));
            }
            match name {
                b"ICCP" => found.profile = Some(body.to_vec()),
                b"EXIF" => {
                    let tiff = body.strip_prefix(b"Exif\0\0").unwrap_or(body);
                    found.orientation = exif::orientation(tiff);
                }
                _ => {}
            }
            // Chunks begin at even places.
            rest = rest.get(8 + size + size % 2..).unwrap_or_default();
        }
        Ok(found)
    }
}

fn le32(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn refused(error: &webpx::Error) -> Error {
    match error {
        webpx::Error::DecodeFailed(DecodingError::NotEnoughData | DecodingError::Suspended) => {
            Error::truncated("the file ends before its picture")
        }
        webpx::Error::DecodeFailed(DecodingError::OutOfMemory) | webpx::Error::OutOfMemory => {
            Error::refused(Code::TooMuchMemory, "the WebP")
        }
        webpx::Error::DecodeFailed(DecodingError::UnsupportedFeature) => {
            Error::unsupported("a WebP of a kind that nobody writes")
        }
        other => Error::corrupt(format!("no valid WebP: {other}")),
    }
}
