//! Lanczos over rows of bytes, through `fast_image_resize`.
//!
//! A crate of its own because that library is generic: each kind of pixel is compiled here, which
//! takes a minute, and would be again with every change to what uses it.

pub use fast_image_resize::Resizer;
use fast_image_resize::{
    FilterType, MulDiv, PixelTrait, ResizeAlg, ResizeOptions,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x2, U8x3, U8x4},
};

/// What cannot be resized, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

/// What becomes of the source.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    /// All of it.
    Whole {
        /// Whether the last channel is alpha: invisible colours do not shine through, for it is
        /// multiplied in, and out again.
        alpha: bool,
    },
    /// Only some rows; those around them are looked at. Alpha is a channel like the others.
    Rows {
        /// The first of them, in rows from the top of the source.
        top: f64,
        /// How many rows.
        height: f64,
    },
}

/// Resizes rows of bytes into rows; a side of equal length costs nothing.
///
/// `source` and `target` are `(bytes, [width, height])` of `height * width * channels` bytes each,
/// with 1 to 4 channels.
///
/// # Errors
/// [`Unfit`] if the bytes are fewer than the sides say, or the part is not inside the source.
pub fn convolve(
    resizer: &mut Resizer,
    channels: usize,
    part: Part,
    source: (&[u8], [u32; 2]),
    target: (&mut [u8], [u32; 2]),
) -> Result<(), Unfit> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    let options = match part {
        Part::Whole { alpha } => options.use_alpha(alpha),
        Part::Rows { top, height } => {
            let width = f64::from(source.1[0]);
            options.use_alpha(false).crop(0.0, top, width, height)
        }
    };
    match channels {
        1 => typed::<U8>(resizer, &options, source, target),
        2 => typed::<U8x2>(resizer, &options, source, target),
        3 => typed::<U8x3>(resizer, &options, source, target),
        _ => typed::<U8x4>(resizer, &options, source, target),
    }
}

fn typed<P: PixelTrait>(
    resizer: &mut Resizer,
    options: &ResizeOptions,
    (source, [width, height]): (&[u8], [u32; 2]),
    (target, [to_width, to_height]): (&mut [u8], [u32; 2]),
) -> Result<(), Unfit> {
    let source = TypedImageRef::<P>::from_buffer(width, height, source).map_err(unfit)?;
    let mut target = TypedImage::<P>::from_buffer(to_width, to_height, target).map_err(unfit)?;
    resizer
        .resize_typed(&source, &mut target, options)
        .map_err(unfit)
}

/// Multiplies colours by alpha, or divides them by it, in place: `height * width * channels` bytes
/// of 2 channels or 4, alpha the last.
///
/// # Errors
/// [`Unfit`] if the bytes are fewer than the sides say.
pub fn apply_alpha(
    bytes: &mut [u8],
    sides: [u32; 2],
    channels: usize,
    multiply: bool,
) -> Result<(), Unfit> {
    match channels {
        2 => apply::<U8x2>(bytes, sides, multiply),
        _ => apply::<U8x4>(bytes, sides, multiply),
    }
}

fn apply<P: PixelTrait>(
    bytes: &mut [u8],
    [width, height]: [u32; 2],
    multiply: bool,
) -> Result<(), Unfit> {
    let mut image = TypedImage::<P>::from_buffer(width, height, bytes).map_err(unfit)?;
    let done = if multiply {
        MulDiv::new().multiply_alpha_inplace_typed(&mut image)
    } else {
        MulDiv::new().divide_alpha_inplace_typed(&mut image)
    };
    done.map_err(unfit)
}

fn unfit(error: impl std::fmt::Display) -> Unfit {
    Unfit(error.to_string())
}
