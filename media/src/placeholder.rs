//! What is shown while a variant loads: a blurred thumbnail of 25 bytes, and one colour.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    error::Result,
    picture::{Picture, Pixels},
    resize::resize,
};

/// The longest side that a thumbhash is made from.
const SIDE_MAX: u32 = 100;

/// Bits of each channel by which colours are counted as the same.
const COUNTED_BITS: u32 = 4;

/// The thumbhash in base 64, and the dominant colour as `#rrggbb`.
pub(crate) fn placeholder(picture: &Picture) -> Result<(String, String)> {
    let longest = picture.width.max(picture.height);
    let shorter = |side: u32| {
        let side = u64::from(side) * u64::from(SIDE_MAX.min(longest)) / u64::from(longest);
        u32::try_from(side).unwrap_or(SIDE_MAX).max(1)
    };
    let small = resize(picture, [shorter(picture.width), shorter(picture.height)])?;
    let rgba: Vec<u8> = match small.pixels {
        Pixels::Rgba => small.bytes,
        _ => small
            .bytes
            .chunks_exact(3)
            .flat_map(|it| [it[0], it[1], it[2], 255])
            .collect(),
    };
    let hash = thumbhash::rgba_to_thumb_hash(small.width as usize, small.height as usize, &rgba);
    Ok((STANDARD.encode(hash), dominant(&rgba)))
}

/// The mean of the colours that most pixels are close to, seen through their alpha.
fn dominant(rgba: &[u8]) -> String {
    let shift = 8 - COUNTED_BITS;
    let mut sums = vec![[0_u64; 4]; 1 << (3 * COUNTED_BITS)];
    for pixel in rgba.chunks_exact(4) {
        let near = pixel[..3].iter().fold(0, |place, channel| {
            place << COUNTED_BITS | usize::from(*channel >> shift)
        });
        let alpha = u64::from(pixel[3]);
        for (sum, channel) in sums[near].iter_mut().zip(&pixel[..3]) {
            *sum += u64::from(*channel) * alpha;
        }
        sums[near][3] += alpha;
    }
    // The first of equals, so that the answer is the same on every machine.
    let most = sums
        .iter()
        .rev()
        .max_by_key(|sum| sum[3])
        .copied()
        .unwrap_or_default();
    let [red, green, blue] = [0, 1, 2].map(|at| most[at] / most[3].max(1));
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dominant_colour_is_what_most_pixels_have() {
        let pixels = [
            [250, 10, 10, 255],
            [10, 10, 200, 255],
            [12, 12, 202, 255],
            [0, 255, 0, 9],
        ];

        assert_eq!(dominant(pixels.as_flattened()), "#0b0bc9");
    }

    #[test]
    fn a_long_picture_fits_the_hash() -> Result<()> {
        let picture = Picture {
            width: 1000,
            height: 2,
            pixels: Pixels::Rgb,
            bytes: vec![77; 6000],
        };

        let (hash, colour) = placeholder(&picture)?;

        assert_eq!(colour, "#4d4d4d");
        assert!(hash.len() >= 8, "{hash}");
        Ok(())
    }
}
