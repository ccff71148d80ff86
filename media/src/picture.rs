//! Pixels in memory, and which way is up.

/// What the bytes of a pixel mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pixels {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    /// Amounts of ink: 0 is none.
    Cmyk,
}

impl Pixels {
    /// Bytes a pixel.
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    /// Whether the last byte is how opaque the pixel is.
    pub(crate) fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }
}

/// What is known of an image before its pixels.
pub(crate) struct Header {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: Pixels,
    pub(crate) orientation: Orientation,
    /// The ICC profile, not yet looked at.
    pub(crate) profile: Option<Vec<u8>>,
}

/// A picture, its rows from top to bottom and without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: Pixels,
    pub(crate) bytes: Vec<u8>,
}

impl Picture {
    /// The rectangle of `width` x `height` in the middle.
    pub(crate) fn centre(&self, width: u32, height: u32) -> Self {
        let channels = self.pixels.channels();
        let stride = self.width as usize * channels;
        let left = (self.width - width) as usize / 2 * channels;
        let top = (self.height - height) as usize / 2;
        let rows = self
            .bytes
            .chunks_exact(stride)
            .skip(top)
            .take(height as usize);
        let bytes = rows.flat_map(|row| &row[left..left + width as usize * channels]);
        Self {
            width,
            height,
            pixels: self.pixels,
            bytes: bytes.copied().collect(),
        }
    }

    /// The picture as it is meant to be seen.
    pub(crate) fn upright(self, orientation: Orientation) -> Self {
        if orientation == Orientation::default() {
            return self;
        }
        let channels = self.pixels.channels();
        let [width, height] = orientation.sides([self.width, self.height]);
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for y in 0..height as usize {
            for x in 0..width as usize {
                let (mut x, mut y) = if orientation.swapped { (y, x) } else { (x, y) };
                if orientation.mirrored {
                    x = self.width as usize - 1 - x;
                }
                if orientation.flipped {
                    y = self.height as usize - 1 - y;
                }
                let at = (y * self.width as usize + x) * channels;
                bytes.extend_from_slice(&self.bytes[at..at + channels]);
            }
        }
        Self {
            width,
            height,
            pixels: self.pixels,
            bytes,
        }
    }
}

/// How a stored picture is brought upright: where the pixel at (x, y) is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orientation {
    /// Rows are columns; this comes first.
    swapped: bool,
    /// Columns count from the right.
    mirrored: bool,
    /// Rows count from the bottom.
    flipped: bool,
}

impl Orientation {
    /// One of EXIF's eight, counted from 1.
    pub(crate) fn from_exif(value: u16) -> Option<Self> {
        let [swapped, mirrored, flipped] = match value {
            1 => [false, false, false],
            2 => [false, true, false],
            3 => [false, true, true],
            4 => [false, false, true],
            5 => [true, false, false],
            6 => [true, false, true],
            7 => [true, true, true],
            8 => [true, true, false],
            _ => return None,
        };
        Some(Self {
            swapped,
            mirrored,
            flipped,
        })
    }

    /// Width and height of the upright picture from those of the stored one, and back.
    pub(crate) fn sides(self, [width, height]: [u32; 2]) -> [u32; 2] {
        if self.swapped {
            [height, width]
        } else {
            [width, height]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, bytes: &[u8]) -> Picture {
        Picture {
            width,
            height,
            pixels: Pixels::Gray,
            bytes: bytes.to_vec(),
        }
    }

    /// The letter F, three wide and two high, as each of the eight stores it.
    #[test]
    fn all_eight_orientations_come_out_upright() {
        let upright = picture(3, 2, b"abcdef");
        let stored = [
            (1, picture(3, 2, b"abcdef")),
            (2, picture(3, 2, b"cbafed")),
            (3, picture(3, 2, b"fedcba")),
            (4, picture(3, 2, b"defabc")),
            (5, picture(2, 3, b"adbecf")),
            (6, picture(2, 3, b"cfbead")),
            (7, picture(2, 3, b"fcebda")),
            (8, picture(2, 3, b"daebfc")),
        ];

        for (value, stored) in stored {
            let orientation = Orientation::from_exif(value).expect("one of eight");
            assert_eq!(stored.upright(orientation), upright, "orientation {value}");
        }
    }

    #[test]
    fn the_centre_is_cut_out() {
        let picture = picture(4, 3, b"abcdefghijkl");

        assert_eq!(picture.centre(2, 1).bytes, b"fg");
    }
}
