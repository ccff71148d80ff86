//! From 64 frequencies to as many pixels as are wanted: scaling costs nothing here.

use std::{array, f32::consts::PI};

/// The most pixels a side that a block becomes: chroma of a quarter of the columns, not scaled.
pub(super) const POINTS_MAX: usize = 32;

/// How many bytes behind a row of pixels may be written over.
pub(super) const SPILL_MAX: usize = 7;

/// Eight frequencies: one row of a block.
type Row = [f32; 8];

/// The inverse cosine transform of a block into `width` x `height` pixels, 1 to 32 each.
///
/// Fewer pixels than eight use only the low frequencies, which is the best shrinking there is; more
/// than eight are the same waves at more places, which is how chroma is brought to the size of luma.
pub(super) struct Idct {
    width: usize,
    height: usize,
    /// By frequency and pixel: how a column of frequencies becomes `height` values.
    down: [[f32; POINTS_MAX]; 8],
    /// By eight pixels, frequency and pixel: how a row of frequencies becomes `width` values.
    across: [[Row; 8]; POINTS_MAX / 8],
    quantum: [Row; 8],
}

impl Idct {
    /// `quantum` is the quantisation table in rows of the block, not in zigzag order.
    pub(super) fn new(width: usize, height: usize, quantum: &[u16; 64]) -> Self {
        let down = |frequency, pixel| wave(frequency, pixel, height);
        let across = |frequency, pixel| wave(frequency, pixel, width);
        let row = |row: usize| array::from_fn(|at| f32::from(quantum[row * 8 + at]));
        Self {
            width,
            height,
            down: array::from_fn(|frequency| array::from_fn(|pixel| down(frequency, pixel))),
            across: array::from_fn(|eight| {
                array::from_fn(|frequency| array::from_fn(|at| across(frequency, 8 * eight + at)))
            }),
            quantum: array::from_fn(row),
        }
    }

    /// Writes the pixels of `block` at `at` of `plane`, whose rows are `stride` bytes apart.
    ///
    /// No frequency stands below row `last_row` of the block. Up to [`SPILL_MAX`] bytes behind each row
    /// of pixels are written, too, where `plane` has them: blocks are written from left to right.
    pub(super) fn write(
        &self,
        block: &[i16; 64],
        last_row: usize,
        plane: &mut [u8],
        at: usize,
        stride: usize,
    ) {
        if last_row == 0 && block[1..8] == [0; 7] {
            return self.write_flat(block[0], plane, at, stride);
        }
        let write = match (self.width, self.height) {
            (1, 1) => Self::write_lanes::<4, 1, true>,
            (2, 2) => Self::write_lanes::<4, 2, true>,
            (3, 3) => Self::write_lanes::<4, 3, true>,
            (4, 4) => Self::write_lanes::<4, 4, true>,
            (5, 5) => Self::write_lanes::<8, 5, true>,
            (6, 6) => Self::write_lanes::<8, 6, true>,
            (7, 7) => Self::write_lanes::<8, 7, true>,
            (8, 8) => Self::write_lanes::<8, 8, true>,
            (..=4, _) => Self::write_lanes::<4, 4, false>,
            _ => Self::write_lanes::<8, 4, false>,
        };
        write(self, block, last_row, plane, at, stride);
    }

    /// `LANES` columns of frequencies, and as many pixels, at a time: they are what one instruction or
    /// two work on. `ROWS` rows of pixels at a time; of a square of so many, all lengths are known.
    #[expect(
        clippy::needless_range_loop,
        reason = "of arrays, whose lengths are known, indices become vectors in every kind of build"
    )]
    fn write_lanes<const LANES: usize, const ROWS: usize, const SQUARE: bool>(
        &self,
        block: &[i16; 64],
        last_row: usize,
        plane: &mut [u8],
        at: usize,
        stride: usize,
    ) {
        let [width, height] = if SQUARE {
            [ROWS; 2]
        } else {
            [self.width, self.height]
        };
        // To find out how few are used costs more than few rows do.
        let used = if SQUARE && ROWS <= 4 {
            ROWS
        } else {
            (last_row + 1).min(height).min(8)
        };
        for top in (0..height).step_by(ROWS) {
            let mut rows = [[0.0_f32; LANES]; ROWS];
            for frequency in 0..used {
                let mut line = [0.0_f32; LANES];
                for x in 0..LANES {
                    let value = f32::from(block[frequency * 8 + x]);
                    line[x] = value * self.quantum[frequency][x];
                }
                for y in 0..ROWS {
                    let wave = self.down[frequency][top + y];
                    for x in 0..LANES {
                        rows[y][x] += wave * line[x];
                    }
                }
            }
            for y in 0..ROWS.min(height - top) {
                for eight in 0..width.div_ceil(8) {
                    let mut sums = [128.5_f32; LANES];
                    for frequency in 0..width.min(LANES) {
                        let waves = &self.across[eight][frequency];
                        for x in 0..LANES {
                            sums[x] += rows[y][frequency] * waves[x];
                        }
                    }
                    let mut pixels = [0; LANES];
                    for x in 0..LANES {
                        pixels[x] = to_byte(sums[x]);
                    }
                    let at = at + (top + y) * stride + 8 * eight;
                    put(plane, at, width - 8 * eight, pixels);
                }
            }
        }
    }

    fn write_flat(&self, mean: i16, plane: &mut [u8], at: usize, stride: usize) {
        let byte = to_byte(f32::from(mean) * self.quantum[0][0] / 8.0 + 128.5);
        for y in 0..self.height {
            for eight in 0..self.width.div_ceil(8) {
                let width = self.width - 8 * eight;
                put(plane, at + y * stride + 8 * eight, width, [byte; 8]);
            }
        }
    }
}

/// Writes all of `pixels` where they fit, and otherwise the `width` that count: a copy whose length is
/// known is one instruction.
#[inline]
fn put<const LANES: usize>(plane: &mut [u8], at: usize, width: usize, pixels: [u8; LANES]) {
    if let Some(place) = plane.get_mut(at..at + LANES) {
        place.copy_from_slice(&pixels);
    } else {
        let width = width.min(LANES);
        plane[at..at + width].copy_from_slice(&pixels[..width]);
    }
}

/// Rounds down; half was added before.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded by the clamp"
)]
#[inline]
fn to_byte(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as i32 as u8
}

/// The wave of a frequency at a pixel of `points`; none where the points are too few to carry it, and
/// beyond them.
#[expect(clippy::cast_precision_loss, reason = "numbers below a hundred")]
fn wave(frequency: usize, pixel: usize, points: usize) -> f32 {
    if pixel >= points {
        return 0.0;
    }
    if frequency == 0 {
        return 0.125_f32.sqrt();
    }
    if frequency >= points {
        return 0.0;
    }
    let angle = (2 * pixel + 1) as f32 * frequency as f32 * PI / (2 * points) as f32;
    0.5 * angle.cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform as the standard writes it.
    #[expect(clippy::cast_precision_loss, reason = "numbers below a hundred")]
    fn by_the_book(block: &[i16; 64], quantum: &[u16; 64]) -> Vec<f64> {
        let scale = |at: usize| if at == 0 { 0.5_f64.sqrt() } else { 1.0 };
        let cos = |pixel: usize, frequency: usize| {
            ((2 * pixel + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0).cos()
        };
        let mut pixels = Vec::new();
        for y in 0..8 {
            for x in 0..8 {
                let mut sum = 0.0;
                for at in 0..64 {
                    let (v, u) = (at / 8, at % 8);
                    let value = f64::from(block[at]) * f64::from(quantum[at]);
                    sum += scale(u) * scale(v) * value * cos(x, u) * cos(y, v);
                }
                pixels.push((sum / 4.0 + 128.0).clamp(0.0, 255.0));
            }
        }
        pixels
    }

    fn block() -> ([i16; 64], [u16; 64]) {
        let mut block = [0; 64];
        for (at, value) in [(0, 20), (1, -9), (8, 7), (10, 5), (27, -6), (63, 2)] {
            block[at] = value;
        }
        let quantum = std::array::from_fn(|at| 3 + u16::try_from(at).unwrap_or(0) / 4);
        (block, quantum)
    }

    #[test]
    fn eight_points_are_what_the_standard_says() {
        let (block, quantum) = block();
        let mut plane = vec![0; 64];

        Idct::new(8, 8, &quantum).write(&block, 7, &mut plane, 0, 8);

        for (pixel, expected) in plane.iter().zip(by_the_book(&block, &quantum)) {
            assert!(
                (f64::from(*pixel) - expected).abs() <= 0.51,
                "{pixel} {expected}"
            );
        }
    }

    #[test]
    fn a_flat_block_is_flat_at_every_size() {
        let mut block = [0; 64];
        block[0] = 40;
        for (width, height) in [(1, 1), (3, 3), (4, 8), (16, 16), (32, 8)] {
            let mut plane = vec![0; width * height];

            Idct::new(width, height, &[2; 64]).write(&block, 7, &mut plane, 0, width);

            assert_eq!(plane, vec![138; width * height]);
        }
    }

    #[test]
    fn blocks_from_left_to_right_leave_each_other_alone() {
        let (block, quantum) = block();
        for width in [1, 3, 5, 12] {
            let idct = Idct::new(width, 2, &quantum);
            let mut alone = vec![0; 2 * width];
            idct.write(&block, 7, &mut alone, 0, width);
            let stride = 3 * width + SPILL_MAX;
            let mut plane = vec![0; 2 * stride];

            for x in 0..3 {
                idct.write(&block, 7, &mut plane, x * width, stride);
            }

            for (row, alone) in plane.chunks_exact(stride).zip(alone.chunks_exact(width)) {
                for pixels in row[..3 * width].chunks_exact(width) {
                    assert_eq!(pixels, alone);
                }
            }
        }
    }

    #[test]
    fn half_the_points_are_close_to_the_means_of_pairs() {
        let (mut block, quantum) = block();
        // The highest frequencies are what half the points cannot carry.
        (block[27], block[63]) = (0, 0);
        let whole = by_the_book(&block, &quantum);
        let mut plane = vec![0; 16];

        Idct::new(4, 4, &quantum).write(&block, 7, &mut plane, 0, 4);

        for (at, pixel) in plane.iter().enumerate() {
            let corner = at / 4 * 16 + at % 4 * 2;
            let four = [corner, corner + 1, corner + 8, corner + 9].map(|at| whole[at]);
            let mean = four.iter().sum::<f64>() / 4.0;
            assert!((f64::from(*pixel) - mean).abs() < 6.0, "{pixel} {mean}");
        }
    }
}
