//! Valid images of every kind that is read, drawn and encoded here.

use gif::Repeat;
use jpeg_encoder::{ColorType, SamplingFactor};
use webpx::{EncoderConfig, Unstoppable};

/// Width and height of the drawing: not a multiple of anything, so that edges are met.
pub(crate) const SIDES: [u16; 2] = [203, 121];

/// A smooth drawing with a dark disc in its upper left, so that every turn of it shows.
pub(crate) fn drawing() -> Vec<u8> {
    let [width, height] = SIDES.map(i32::from);
    let mut bytes = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let near = (x - 50).pow(2) + (y - 30).pow(2) < 400;
            let pixel = if near {
                [20, 30, 90]
            } else {
                [80 + x * 150 / width, 60 + y * 180 / height, 120]
            };
            bytes.extend(pixel.map(|channel| u8::try_from(channel).unwrap_or(255)));
        }
    }
    bytes
}

pub(crate) fn rgba() -> Vec<u8> {
    let pixels = drawing();
    let alpha = |at: usize| {
        if at % usize::from(SIDES[0]) < 100 {
            255
        } else {
            0
        }
    };
    let pixels = pixels.chunks_exact(3).enumerate();
    pixels
        .flat_map(|(at, it)| [it[0], it[1], it[2], alpha(at)])
        .collect()
}

pub(crate) type JpegEncoder<'a> = jpeg_encoder::Encoder<&'a mut Vec<u8>>;

/// A JPEG of the drawing, encoded as `set` says.
pub(crate) fn jpeg(set: impl FnOnce(&mut JpegEncoder<'_>)) -> Vec<u8> {
    jpeg_of(&drawing(), ColorType::Rgb, set)
}

pub(crate) fn jpeg_of(
    pixels: &[u8],
    kind: ColorType,
    set: impl FnOnce(&mut JpegEncoder<'_>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 92);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    set(&mut encoder);
    encoder
        .encode(pixels, SIDES[0], SIDES[1], kind)
        .expect("a JPEG");
    bytes
}

fn gray() -> Vec<u8> {
    drawing().chunks_exact(3).map(|pixel| pixel[1]).collect()
}

pub(crate) fn gray_jpeg() -> Vec<u8> {
    jpeg_of(&gray(), ColorType::Luma, |_| {})
}

/// The colours of `gray_jpeg`.
pub(crate) fn gray_colours() -> Vec<u8> {
    gray().into_iter().flat_map(|gray| [gray; 3]).collect()
}

/// The drawing in ink, which without black is what light is not.
pub(crate) fn inks() -> Vec<u8> {
    drawing()
        .chunks_exact(3)
        .flat_map(|it| [255 - it[0], 255 - it[1], 255 - it[2], 0])
        .collect()
}

pub(crate) fn cmyk_jpeg(kind: ColorType) -> Vec<u8> {
    jpeg_of(&inks(), kind, |_| {})
}

/// A PNG; `set` may add chunks.
pub(crate) fn png(
    pixels: &[u8],
    kind: png::ColorType,
    set: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    png_of(SIDES.map(u32::from), pixels, kind, set)
}

pub(crate) fn png_of(
    [width, height]: [u32; 2],
    pixels: &[u8],
    kind: png::ColorType,
    set: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(kind);
    set(&mut encoder);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(pixels).expect("a PNG");
    writer.finish().expect("an end");
    bytes
}

pub(crate) fn rgb_png() -> Vec<u8> {
    png(&drawing(), png::ColorType::Rgb, |_| {})
}

pub(crate) fn rgba_png() -> Vec<u8> {
    png(&rgba(), png::ColorType::Rgba, |_| {})
}

pub(crate) fn deep_png() -> Vec<u8> {
    let deep: Vec<u8> = drawing()
        .into_iter()
        .flat_map(|byte| [byte, byte])
        .collect();
    png(&deep, png::ColorType::Rgb, |encoder| {
        encoder.set_depth(png::BitDepth::Sixteen);
    })
}

/// The place of each pixel in the palette of `palette_png`.
fn palette_indices() -> Vec<u8> {
    drawing()
        .chunks_exact(3)
        .map(|pixel| pixel[0] / 16)
        .collect()
}

fn palette() -> Vec<u8> {
    (0..48).map(|at| at * 5).collect()
}

/// The colours of `palette_png`.
pub(crate) fn palette_colours() -> Vec<u8> {
    coloured(&palette_indices(), &palette())
}

fn coloured(indices: &[u8], palette: &[u8]) -> Vec<u8> {
    let at = |index: &u8| 3 * usize::from(*index);
    let colours = indices.iter().flat_map(|index| &palette[at(index)..][..3]);
    colours.copied().collect()
}

pub(crate) fn palette_png() -> Vec<u8> {
    png(&palette_indices(), png::ColorType::Indexed, |encoder| {
        encoder.set_palette(palette());
        encoder.set_trns((0..16).map(|at| 255 - at * 16).collect::<Vec<u8>>());
    })
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    (!crc).to_be_bytes()
}

pub(crate) fn png_chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    let named = [&name[..], body].concat();
    [&length[..], &named, &crc(&named)].concat()
}

pub(crate) fn png_head([width, height]: [u32; 2], rest: [u8; 5]) -> Vec<u8> {
    let body = [&width.to_be_bytes()[..], &height.to_be_bytes(), &rest].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), png_chunk(*b"IHDR", &body)].concat()
}

/// The drawing in seven passes, each of some pixels of some rows.
pub(crate) fn interlaced_png() -> Vec<u8> {
    let [width, height] = SIDES.map(usize::from);
    let drawing = drawing();
    let mut rows = Vec::new();
    // Where each pass begins, and its steps.
    let passes = [
        ([0, 0], [8, 8]),
        ([4, 0], [8, 8]),
        ([0, 4], [4, 8]),
        ([2, 0], [4, 4]),
        ([0, 2], [2, 4]),
        ([1, 0], [2, 2]),
        ([0, 1], [1, 2]),
    ];
    for ([left, top], [across, down]) in passes {
        for y in (top..height).step_by(down) {
            // Each row begins with its filter: none.
            rows.push(0);
            for x in (left..width).step_by(across) {
                let at = (y * width + x) * 3;
                rows.extend_from_slice(&drawing[at..at + 3]);
            }
        }
    }
    let head = png_head(SIDES.map(u32::from), [8, 2, 0, 0, 1]);
    let data = png_chunk(*b"IDAT", &fdeflate::compress_to_vec(&rows));
    [head, data, png_chunk(*b"IEND", &[])].concat()
}

pub(crate) fn webp(lossless: bool) -> Vec<u8> {
    let config = EncoderConfig::new().quality(90.0).lossless(lossless);
    let [width, height] = SIDES.map(u32::from);
    config
        .encode_rgb(&drawing(), width, height, Unstoppable)
        .expect("a WebP")
}

pub(crate) fn alpha_webp() -> Vec<u8> {
    let [width, height] = SIDES.map(u32::from);
    let config = EncoderConfig::new().quality(90.0);
    config
        .encode_rgba(&rgba(), width, height, Unstoppable)
        .expect("a WebP")
}

/// A chunk of a RIFF file.
pub(crate) fn chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short").to_le_bytes();
    let padding = vec![0; body.len() % 2];
    [&name[..], &length, body, &padding].concat()
}

pub(crate) fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    chunk(*b"RIFF", &[b"WEBP".to_vec(), chunks.concat()].concat())
}

/// The head of an extended WebP; `flags`: 2 animation, 4 XMP, 8 EXIF, 16 alpha, 32 profile.
pub(crate) fn vp8x(flags: u8, [width, height]: [u32; 2]) -> Vec<u8> {
    let sides = [width - 1, height - 1].map(u32::to_le_bytes);
    chunk(
        *b"VP8X",
        &[&[flags, 0, 0, 0], &sides[0][..3], &sides[1][..3]].concat(),
    )
}

/// A WebP of `frames` frames, the first of which is the drawing.
pub(crate) fn animated_webp(frames: usize) -> Vec<u8> {
    let sides = SIDES.map(u32::from);
    let still = webp(false);
    let [width, height] = sides.map(|side| (side - 1).to_le_bytes());
    // At the corner, for a tenth of a second.
    let head = [&[0; 6], &width[..3], &height[..3], &[100, 0, 0], &[0]].concat();
    let frame = chunk(*b"ANMF", &[&head, &still[12..]].concat());
    let mut chunks = vec![vp8x(2, sides), chunk(*b"ANIM", &[0; 6])];
    chunks.extend(vec![frame; frames]);
    riff(&chunks)
}

/// The drawing in 64 colours: places in a palette, and the palette.
fn few_colours() -> (Vec<u8>, Vec<u8>) {
    let palette = (0..64).flat_map(|at| [at / 16, at / 4 % 4, at % 4].map(|it| it * 85));
    let index = |it: &[u8]| (it[0] / 64) * 16 + (it[1] / 64) * 4 + it[2] / 64;
    let indices = drawing().chunks_exact(3).map(index).collect();
    (indices, palette.collect())
}

/// The colours of the first frame of `gif`.
pub(crate) fn gif_colours() -> Vec<u8> {
    let (indices, palette) = few_colours();
    coloured(&indices, &palette)
}

/// A GIF of `frames` frames; the first is the drawing in 64 colours, the others are a pixel.
pub(crate) fn gif(frames: usize) -> Vec<u8> {
    let (first, palette) = few_colours();
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, SIDES[0], SIDES[1], &palette).expect("a GIF");
    encoder.set_repeat(Repeat::Infinite).expect("a GIF");
    for at in 0..frames {
        let frame = if at == 0 {
            gif::Frame::from_indexed_pixels(SIDES[0], SIDES[1], first.clone(), None)
        } else {
            gif::Frame::from_indexed_pixels(1, 1, vec![0], None)
        };
        encoder.write_frame(&frame).expect("a frame");
    }
    drop(encoder);
    bytes
}
