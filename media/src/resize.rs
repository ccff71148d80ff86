//! Pictures of another size.

use lanczos::{Part, Resizer, Unfit, convolve};

use crate::{
    error::{Error, Result},
    picture::Picture,
};

/// A smaller picture of the same.
pub(crate) fn resize(picture: &Picture, [width, height]: [u32; 2]) -> Result<Picture> {
    let pixels = picture.pixels;
    let mut bytes = vec![0; width as usize * height as usize * pixels.channels()];
    let alpha = pixels.has_alpha();
    convolve(
        &mut Resizer::new(),
        pixels.channels(),
        Part::Whole { alpha },
        (&picture.bytes, [picture.width, picture.height]),
        (&mut bytes, [width, height]),
    )?;
    Ok(Picture {
        width,
        height,
        pixels,
        bytes,
    })
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Self {
        Self::unsupported(format!("it cannot be resized: {unfit}"))
    }
}
