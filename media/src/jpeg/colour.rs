//! From the components of a JPEG to the pixels of a picture, a row at a time.

use super::header::Space;
use crate::picture::Pixels;

impl Space {
    /// What the pixels are after `write_row`.
    pub(super) fn pixels(self) -> Pixels {
        match self {
            Self::Gray => Pixels::Gray,
            Self::YCbCr | Self::Rgb => Pixels::Rgb,
            Self::Cmyk { .. } | Self::Ycck => Pixels::Cmyk,
        }
    }

    /// Writes a row of pixels; of ink, 255 is all and 0 is none.
    pub(super) fn write_row(self, components: &[&[u8]], pixels: &mut [u8]) {
        match (self, components) {
            (Self::Gray, [gray]) => {
                let width = pixels.len();
                pixels.copy_from_slice(&gray[..width]);
            }
            (Self::YCbCr, [y, cb, cr]) => ycc_row(y, cb, cr, pixels),
            (Self::Rgb, [r, g, b]) => {
                let values = r.iter().zip(*g).zip(*b);
                for (pixel, ((r, g), b)) in pixels.chunks_exact_mut(3).zip(values) {
                    pixel.copy_from_slice(&[*r, *g, *b]);
                }
            }
            (Self::Cmyk { inverted }, [c, m, y, k]) => {
                let flip = if inverted { 0xff } else { 0 };
                let values = c.iter().zip(*m).zip(*y).zip(*k);
                for (pixel, (((c, m), y), k)) in pixels.chunks_exact_mut(4).zip(values) {
                    pixel.copy_from_slice(&[c ^ flip, m ^ flip, y ^ flip, k ^ flip]);
                }
            }
            (Self::Ycck, [y, cb, cr, k]) => {
                // Adobe writes no ink as 255, and the three as if they were red, green and blue of
                // that: two inversions that meet.
                let values = y.iter().zip(*cb).zip(*cr).zip(*k);
                for (pixel, (((y, cb), cr), k)) in pixels.chunks_exact_mut(4).zip(values) {
                    let [c, m, yellow] = rgb(*y, *cb, *cr);
                    pixel.copy_from_slice(&[c, m, yellow, !k]);
                }
            }
            _ => debug_assert!(false, "the number of components follows from the space"),
        }
    }
}

fn ycc_row(y: &[u8], cb: &[u8], cr: &[u8], pixels: &mut [u8]) {
    let values = y.iter().zip(cb).zip(cr);
    for (pixel, ((y, cb), cr)) in pixels.chunks_exact_mut(3).zip(values) {
        pixel.copy_from_slice(&rgb(*y, *cb, *cr));
    }
}

/// JFIF's conversion with 16 bits behind the point.
#[inline]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let y = (i32::from(y) << 16) + (1 << 15);
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    [
        y + 91_881 * cr,
        y - 22_554 * cb - 46_802 * cr,
        y + 116_130 * cb,
    ]
    .map(to_byte)
}

#[expect(clippy::cast_sign_loss, reason = "bounded by the clamp")]
#[inline]
fn to_byte(value: i32) -> u8 {
    (value >> 16).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corners_of_the_colour_cube_are_met() {
        let corners = [
            ([255, 128, 128], [255, 255, 255]),
            ([0, 128, 128], [0, 0, 0]),
            ([76, 85, 255], [254, 0, 0]),
            ([150, 44, 21], [0, 255, 1]),
            ([29, 255, 107], [0, 0, 254]),
        ];

        for ([y, cb, cr], expected) in corners {
            assert_eq!(rgb(y, cb, cr), expected);
        }
    }

    #[test]
    fn adobes_inks_are_turned_over() {
        let mut pixel = [0; 4];

        Space::Cmyk { inverted: true }.write_row(&[&[255], &[0], &[255], &[200]], &mut pixel);

        assert_eq!(pixel, [0, 255, 0, 55]);
    }
}
