//! Rows go in as they are decoded; a small picture comes out. The large one is never whole in memory.

use lanczos::{Part, Resizer, apply_alpha, convolve};

use crate::{
    error::{Code, Error, Result},
    picture::{Picture, Pixels},
    resize::resize,
};

/// Bytes of rows that are resized together: each time costs the weights of all columns again.
const WINDOW_BYTES: usize = 12 << 20;

/// How many times smaller rows become here; more is done with the small picture, for else most of
/// the large one would have to be there for each row of the small one.
const SHRINK_MAX: u32 = 16;

/// Rows above and below that a Lanczos of three lobes looks at, times the scale.
const LOBES: f64 = 3.0;

/// A picture on its way from one size to another. It is what a resize of the whole picture makes: a
/// window of rows moves down, and leaves as many rows of the small picture as it has all rows for.
pub(crate) struct Rows {
    resizer: Resizer,
    pixels: Pixels,
    from: [u32; 2],
    /// What the window makes, which may be larger than what is wanted.
    step: [u32; 2],
    to: [u32; 2],
    window: Vec<u8>,
    /// Rows that `window` has place for.
    capacity: usize,
    /// The first row in `window`, and how many there are.
    begin: usize,
    filled: usize,
    /// Of these, with alpha multiplied in.
    multiplied: usize,
    small: Vec<u8>,
    /// Rows of `small` that are made.
    made: usize,
    premultiply: bool,
}

impl Rows {
    /// Expects rows of a picture of `from`, to make one of `to`, which is not larger.
    pub(crate) fn new(
        from: [u32; 2],
        to: [u32; 2],
        pixels: Pixels,
        memory_bytes_max: u64,
    ) -> Result<Self> {
        let step = [0, 1].map(|at| to[at].max(from[at].div_ceil(SHRINK_MAX)));
        let stride = from[0] as usize * pixels.channels();
        let scale = f64::from(from[1]) / f64::from(step[1]);
        let needed = floor(2.0 * reach(scale) + 4.0 * scale) + 1;
        let capacity = needed
            .max(WINDOW_BYTES / stride.max(1))
            .min(from[1] as usize);
        let small = step[0] as usize * step[1] as usize * pixels.channels();
        // The rest is for the file, the decoder and the encoders.
        if (capacity * stride + small) as u64 > memory_bytes_max / 2 {
            return Err(Error::refused(
                Code::TooMuchMemory,
                "so large a variant of it",
            ));
        }
        Ok(Self {
            resizer: Resizer::new(),
            pixels,
            from,
            step,
            to,
            window: vec![0; capacity * stride],
            capacity,
            begin: 0,
            filled: 0,
            multiplied: 0,
            small: vec![0; small],
            made: 0,
            premultiply: pixels.has_alpha() && from != to,
        })
    }

    /// The place of the next row, which holds what an earlier one left.
    pub(crate) fn next(&mut self) -> Result<&mut [u8]> {
        if self.filled == self.capacity {
            let (scale, end) = (self.scale(), as_f64(self.begin + self.filled));
            self.make(floor((end - reach(scale)) / scale))?;
        }
        let stride = self.stride();
        let at = self.filled * stride;
        self.filled += 1;
        let row = self.window.get_mut(at..at + stride);
        row.ok_or_else(|| Error::corrupt("more rows than its header says"))
    }

    /// Makes the rows of the small picture before `until`, and drops what no other row needs.
    fn make(&mut self, until: usize) -> Result<()> {
        let (stride, scale) = (self.stride(), self.scale());
        let until = until.min(self.step[1] as usize);
        if until > self.made {
            let rows = &mut self.window[..self.filled * stride];
            if self.premultiply {
                let new = &mut rows[self.multiplied * stride..];
                let sides = [self.from[0], as_u32(self.filled - self.multiplied)];
                apply_alpha(new, sides, self.pixels.channels(), true)?;
            }
            let top = as_f64(self.made) * scale - as_f64(self.begin);
            // Rounding must not ask for a row that does not exist.
            let height = (as_f64(until - self.made) * scale).min(as_f64(self.filled) - top);
            let to_stride = self.step[0] as usize * self.pixels.channels();
            let target = &mut self.small[self.made * to_stride..until * to_stride];
            convolve(
                &mut self.resizer,
                self.pixels.channels(),
                Part::Rows { top, height },
                (rows, [self.from[0], as_u32(self.filled)]),
                (target, [self.step[0], as_u32(until - self.made)]),
            )?;
            self.multiplied = self.filled;
            self.made = until;
        }
        let needed = floor((as_f64(self.made) * scale - reach(scale)).max(0.0));
        let dropped = needed.saturating_sub(self.begin).min(self.filled);
        self.window
            .copy_within(dropped * stride..self.filled * stride, 0);
        self.begin += dropped;
        self.filled -= dropped;
        self.multiplied = self.multiplied.saturating_sub(dropped);
        Ok(())
    }

    /// The picture, once all rows are there.
    pub(crate) fn finish(mut self) -> Result<Picture> {
        if self.begin + self.filled != self.from[1] as usize {
            return Err(Error::truncated("rows are missing"));
        }
        self.make(self.step[1] as usize)?;
        if self.premultiply {
            apply_alpha(&mut self.small, self.step, self.pixels.channels(), false)?;
        }
        let picture = Picture {
            width: self.step[0],
            height: self.step[1],
            pixels: self.pixels,
            bytes: self.small,
        };
        if self.step == self.to {
            Ok(picture)
        } else {
            resize(&picture, self.to)
        }
    }

    fn stride(&self) -> usize {
        self.from[0] as usize * self.pixels.channels()
    }

    /// Rows for each row of the small picture.
    fn scale(&self) -> f64 {
        f64::from(self.from[1]) / f64::from(self.step[1])
    }
}

/// How far from its place a row looks, and one for what rounding adds.
fn reach(scale: f64) -> f64 {
    LOBES * scale.max(1.0) + 1.0
}

fn as_u32(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

fn as_f64(rows: usize) -> f64 {
    f64::from(as_u32(rows))
}

/// Rounds down; nothing below zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of rows, and less than nothing is nothing"
)]
fn floor(value: f64) -> usize {
    value as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of noise, which shows every difference.
    fn noise(width: u32, height: u32, pixels: Pixels) -> Picture {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let bytes = width as usize * height as usize * pixels.channels();
        Picture {
            width,
            height,
            pixels,
            bytes: (0..bytes).map(|_| next()).collect(),
        }
    }

    fn through_rows(picture: &Picture, to: [u32; 2]) -> Result<Picture> {
        let mut rows = Rows::new([picture.width, picture.height], to, picture.pixels, 1 << 30)?;
        let stride = picture.width as usize * picture.pixels.channels();
        for row in picture.bytes.chunks_exact(stride) {
            rows.next()?.copy_from_slice(row);
        }
        rows.finish()
    }

    #[test]
    fn a_window_makes_the_picture_that_a_whole_resize_makes() -> Result<()> {
        // Several windows: 3000 rows of 6000 bytes.
        let picture = noise(2000, 3000, Pixels::Rgb);

        for to in [
            [137, 400],
            [2000, 400],
            [137, 3000],
            [1999, 2999],
            [333, 1000],
        ] {
            let small = through_rows(&picture, to)?;

            let whole = resize(&picture, to)?;
            let pairs = small.bytes.iter().zip(&whole.bytes);
            let off = pairs.map(|(one, other)| one.abs_diff(*other)).max();
            assert!(off <= Some(1), "{to:?} is off by {off:?}");
        }
        Ok(())
    }

    #[test]
    fn a_picture_becomes_a_dot() -> Result<()> {
        let mut picture = noise(3000, 700, Pixels::Gray);
        picture.bytes.fill(90);

        assert_eq!(through_rows(&picture, [1, 1])?.bytes, [90]);
        Ok(())
    }

    #[test]
    fn a_picture_of_the_wanted_size_is_left_alone() -> Result<()> {
        let picture = noise(31, 17, Pixels::Rgba);

        assert_eq!(through_rows(&picture, [31, 17])?, picture);
        Ok(())
    }

    #[test]
    fn invisible_colours_do_not_shine_through() -> Result<()> {
        let mut picture = noise(64, 64, Pixels::Rgba);
        for (at, pixel) in picture.bytes.chunks_exact_mut(4).enumerate() {
            let invisible = at % 2 == 0;
            pixel.copy_from_slice(if invisible {
                &[255, 0, 0, 0]
            } else {
                &[0, 0, 200, 255]
            });
        }

        let small = through_rows(&picture, [8, 8])?;

        let blue = |pixel: &[u8]| pixel[0] == 0 && pixel[2].abs_diff(200) <= 2;
        assert!(
            small.bytes.chunks_exact(4).all(blue),
            "{:?}",
            &small.bytes[..8]
        );
        Ok(())
    }

    #[test]
    fn missing_rows_are_an_error_and_so_is_one_more() -> Result<()> {
        let mut rows = Rows::new([4, 4], [2, 2], Pixels::Gray, 1 << 20)?;
        for _ in 0..3 {
            rows.next()?.fill(7);
        }

        let missing = rows.finish().err().map(|error| error.code());
        let mut rows = Rows::new([4, 4], [4, 4], Pixels::Gray, 1 << 20)?;
        let more = (0..9).find_map(|_| rows.next().err().map(|error| error.code()));

        assert_eq!((missing, more), (Some("truncated"), Some("corrupt")));
        Ok(())
    }

    #[test]
    fn a_variant_too_large_for_the_memory_is_refused() {
        let rows = Rows::new([10_000, 6_000], [6_000, 6_000], Pixels::Rgba, 256 << 20);

        assert_eq!(
            rows.err().map(|error| error.code()),
            Some("too_much_memory")
        );
    }
}
