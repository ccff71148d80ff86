//! Lanczos, through `fast_image_resize`.

use fast_image_resize::{
    FilterType, MulDiv, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8, U8x2, U8x3, U8x4},
};

use crate::{
    error::{Error, Result},
    picture::{Picture, Pixels},
};

/// A smaller picture of the same.
pub(crate) fn resize(picture: &Picture, [width, height]: [u32; 2]) -> Result<Picture> {
    let mut bytes = vec![0; width as usize * height as usize * picture.pixels.channels()];
    let from = [picture.width, picture.height];
    let (source, target) = (
        (picture.bytes.as_slice(), from),
        (bytes.as_mut_slice(), [width, height]),
    );
    convolve(
        &mut Resizer::new(),
        picture.pixels,
        Part::Whole,
        source,
        target,
    )?;
    Ok(Picture {
        width,
        height,
        pixels: picture.pixels,
        bytes,
    })
}

/// What becomes of the source.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// All of it. Invisible colours do not shine through: alpha is multiplied in, and out again.
    Whole,
    /// Only `height` rows from `top` on; those around them are looked at. Alpha is a channel like
    /// the others.
    Rows { top: f64, height: f64 },
}

/// Resizes rows into rows; a side of equal length costs nothing.
///
/// The kinds of pixel are named here because each is compiled on its own, and there are a dozen.
pub(crate) fn convolve(
    resizer: &mut Resizer,
    pixels: Pixels,
    part: Part,
    source: (&[u8], [u32; 2]),
    target: (&mut [u8], [u32; 2]),
) -> Result<()> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    let options = match part {
        Part::Whole => options.use_alpha(pixels.has_alpha()),
        Part::Rows { top, height } => {
            let width = f64::from(source.1[0]);
            options.use_alpha(false).crop(0.0, top, width, height)
        }
    };
    match pixels.channels() {
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
) -> Result<()> {
    let source = TypedImageRef::<P>::from_buffer(width, height, source).map_err(unfit)?;
    let mut target = TypedImage::<P>::from_buffer(to_width, to_height, target).map_err(unfit)?;
    resizer
        .resize_typed(&source, &mut target, options)
        .map_err(unfit)
}

/// Multiplies colours by alpha, or divides them by it, in place.
pub(crate) fn apply_alpha(
    bytes: &mut [u8],
    [width, height]: [u32; 2],
    pixels: Pixels,
    multiply: bool,
) -> Result<()> {
    match pixels {
        Pixels::GrayAlpha => apply::<U8x2>(bytes, width, height, multiply),
        Pixels::Rgba => apply::<U8x4>(bytes, width, height, multiply),
        _ => Ok(()),
    }
}

fn apply<P: PixelTrait>(bytes: &mut [u8], width: u32, height: u32, multiply: bool) -> Result<()> {
    let mut image = TypedImage::<P>::from_buffer(width, height, bytes).map_err(unfit)?;
    let done = if multiply {
        MulDiv::new().multiply_alpha_inplace_typed(&mut image)
    } else {
        MulDiv::new().divide_alpha_inplace_typed(&mut image)
    };
    done.map_err(unfit)
}

fn unfit(error: impl std::fmt::Display) -> Error {
    Error::unsupported(format!("it cannot be resized: {error}"))
}
