//! From 64 frequencies to as many pixels as are wanted: scaling costs nothing here.

use std::f32::consts::PI;

/// The most pixels a side that a block becomes: chroma of a quarter of the columns, not scaled.
pub(super) const POINTS_MAX: usize = 32;

/// Eight frequencies: one row of a block.
type Row = [f32; 8];

/// The inverse cosine transform of a block into `width` x `height` pixels, 1 to 32 each.
///
/// Fewer pixels than eight use only the low frequencies, which is the best shrinking there is; more
/// than eight are the same waves at more places, which is how chroma is brought to the size of luma.
pub(super) struct Idct {
    width: usize,
    height: usize,
    /// By pixel and frequency: how a column of frequencies becomes `height` values.
    down: Vec<Row>,
    /// By frequency and pixel, padded to eights: how a row of frequencies becomes `width` values.
    across: Vec<Row>,
    /// Eights of pixels a row.
    eights: usize,
    quantum: [Row; 8],
}

impl Idct {
    /// `quantum` is the quantisation table in rows of the block, not in zigzag order.
    pub(super) fn new(width: usize, height: usize, quantum: &[u16; 64]) -> Self {
        let eights = width.div_ceil(8);
        let mut across = vec![[0.0; 8]; 8 * eights];
        for frequency in 0..8 {
            for pixel in 0..width {
                across[frequency * eights + pixel / 8][pixel % 8] = wave(frequency, pixel, width);
            }
        }
        let column = |pixel| std::array::from_fn(|frequency| wave(frequency, pixel, height));
        let row = |row: usize| std::array::from_fn(|at| f32::from(quantum[row * 8 + at]));
        Self {
            width,
            height,
            down: (0..height).map(column).collect(),
            across,
            eights,
            quantum: std::array::from_fn(row),
        }
    }

    /// Writes the pixels of `block` at `at` of `plane`, whose rows are `stride` bytes apart.
    ///
    /// No frequency stands below row `last_row` of the block.
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
        let rows = self.frequencies(block, last_row);
        let used = (last_row + 1).min(self.height);
        for (y, waves) in self.down.iter().enumerate() {
            let mut row = [0.0; 8];
            for (factor, frequencies) in waves.iter().zip(&rows[..used]) {
                for (sum, frequency) in row.iter_mut().zip(frequencies) {
                    *sum += factor * frequency;
                }
            }
            let start = at + y * stride;
            self.write_row(&row, &mut plane[start..start + self.width]);
        }
    }

    fn frequencies(&self, block: &[i16; 64], last_row: usize) -> [Row; 8] {
        let mut rows = [[0.0; 8]; 8];
        let quantised = block.chunks_exact(8).zip(&self.quantum);
        for (row, (block, quantum)) in rows.iter_mut().zip(quantised).take(last_row + 1) {
            for ((value, raw), quantum) in row.iter_mut().zip(block).zip(quantum) {
                *value = f32::from(*raw) * quantum;
            }
        }
        rows
    }

    fn write_row(&self, row: &Row, pixels: &mut [u8]) {
        let used = self.width.min(8);
        for (eight, pixels) in pixels.chunks_mut(8).enumerate() {
            let mut sums = [128.5_f32; 8];
            for (frequency, value) in row.iter().enumerate().take(used) {
                let waves = &self.across[frequency * self.eights + eight];
                for (sum, wave) in sums.iter_mut().zip(waves) {
                    *sum += value * wave;
                }
            }
            let bytes = sums.map(to_byte);
            // A copy of a known length is one instruction; others are short.
            if let Ok(eight) = <&mut [u8; 8]>::try_from(&mut *pixels) {
                *eight = bytes;
            } else {
                pixels
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(pixel, byte)| *pixel = byte);
            }
        }
    }

    fn write_flat(&self, mean: i16, plane: &mut [u8], at: usize, stride: usize) {
        let byte = to_byte(f32::from(mean) * self.quantum[0][0] / 8.0 + 128.5);
        for y in 0..self.height {
            plane[at + y * stride..at + y * stride + self.width].fill(byte);
        }
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

/// The wave of a frequency at a pixel of `points`; none where the points are too few to carry it.
#[expect(clippy::cast_precision_loss, reason = "numbers below a hundred")]
fn wave(frequency: usize, pixel: usize, points: usize) -> f32 {
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
