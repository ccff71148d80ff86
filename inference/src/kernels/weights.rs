//! Matrices of weights, laid out for the loops that read them.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use std::array::from_fn;
use std::io::Read;
use std::ops::Range;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};

use super::huge::place;
use super::machine::{BLOCK, LANES, Line, ROWS, Rows, SIGN, rows_together};
use super::planes::{self, Planes};
use super::tile::SIZE_MAX;
use crate::error::{Error, Result};

/// Bytes of a scale in a file.
const SCALE_BYTES: usize = 2;
/// An exponent of a half that stands for infinity or for no number.
const NOT_FINITE: u16 = 0x7c00;

/// Rows that are unpacked at a time, so that no second copy of a matrix is ever in memory.
const ROWS_TOGETHER: usize = 256;

/// A matrix that rows of activations are multiplied with, or whose rows are looked up.
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) form: Form,
}

/// How the weights of a matrix are stored in memory.
pub(crate) enum Form {
    /// `Q8_0`, sixteen rows interleaved; a block is eight lines.
    Eight(Packed),
    /// `Q4_0`, sixteen rows interleaved; a block is four lines.
    Four(Packed),
    /// 8 bits of a great many rows, in two halves.
    Planes(Planes),
    /// Half precision, row by row, as its bits.
    Half(Vec<u16>),
    /// Plain f32, row by row.
    Dense(Vec<f32>),
}

/// Blocks of 32 columns of [`ROWS`], sixteen rows by sixteen, each with their scales.
///
/// Rows that the processor takes at a time lie together, so with eight of them all blocks of the first eight
/// come before those of the others. It takes the very bytes that it takes in the file; missing rows of the
/// last sixteen are zeros.
pub(crate) struct Packed {
    pub(crate) lines: Vec<Line>,
    pub(crate) scales: Vec<[u16; ROWS]>,
    /// Blocks of a row.
    blocks: usize,
    /// Rows that lie together.
    together: usize,
}

impl Matrix {
    /// A matrix of `width` columns from its rows.
    pub(crate) fn dense(values: Vec<f32>, width: usize) -> Self {
        Self {
            rows: values.len() / width.max(1),
            width,
            form: Form::Dense(values),
        }
    }

    /// Reads a matrix as a GGUF stores it, row by row: no second copy of it is ever in memory.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it ends too early, or when a scale or a weight is not a finite number.
    pub(crate) fn read(
        name: &str,
        reader: &mut impl Read,
        kind: GgmlDType,
        rows: usize,
        width: usize,
    ) -> Result<Self> {
        let block = kind.block_size();
        if !width.is_multiple_of(block) || (block > 1 && !width.is_multiple_of(BLOCK)) {
            return Err(Error::corrupt(format!(
                "the tensor {name} has half a block"
            )));
        }
        let mut rest = Rest {
            name,
            reader,
            kind,
            width,
        };
        let form = match kind {
            GgmlDType::Q4_0 => Form::Four(rest.four(rows)?),
            GgmlDType::F16 => Form::Half(rest.halves(rows)?),
            GgmlDType::F32 | GgmlDType::BF16 => Form::Dense(rest.dense(rows)?),
            _ if rows < planes::ROWS_MIN => Form::Eight(rest.eight(rows)?),
            _ => Form::Planes(rest.planes(rows)?),
        };
        Ok(Self { rows, width, form })
    }

    /// Groups of eight rows that a product has; the last one may be padded.
    pub(crate) fn groups(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Does it need activations as they are, not quantised?
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.form, Form::Dense(_) | Form::Half(_))
    }

    /// Bytes of its weights in memory.
    pub(crate) fn bytes(&self) -> usize {
        match &self.form {
            Form::Eight(packed) | Form::Four(packed) => {
                size_of_val(packed.lines.as_slice()) + size_of_val(packed.scales.as_slice())
            }
            Form::Planes(planes) => self.bytes_rough() + size_of_val(planes.small.as_slice()),
            Form::Half(values) => size_of_val(values.as_slice()),
            Form::Dense(values) => size_of_val(values.as_slice()),
        }
    }

    /// Bytes of those that tell how large products are at most.
    pub(crate) fn bytes_rough(&self) -> usize {
        match &self.form {
            Form::Planes(Planes { large, reach, .. }) => {
                let lines = size_of_val(large.lines.as_slice());
                lines + size_of_val(large.scales.as_slice()) + size_of_val(reach.as_slice())
            }
            _ => self.bytes(),
        }
    }

    /// The addresses of its weights.
    pub(crate) fn places(&self) -> [Range<usize>; 3] {
        match &self.form {
            Form::Eight(packed) | Form::Four(packed) => {
                [place(&packed.lines), place(&packed.scales), 0..0]
            }
            Form::Planes(Planes { large, small, .. }) => {
                [place(&large.lines), place(&large.scales), place(small)]
            }
            Form::Half(values) => [place(values), 0..0, 0..0],
            Form::Dense(values) => [place(values), 0..0, 0..0],
        }
    }

    /// Writes a row into `out`, which has its width.
    pub(crate) fn look_up(&self, row: usize, out: &mut [f32]) {
        let range = row * self.width..(row + 1) * self.width;
        match &self.form {
            Form::Dense(values) => out.copy_from_slice(&values[range]),
            Form::Half(values) => {
                for (out, bits) in out.iter_mut().zip(&values[range]) {
                    *out = half::f16::from_bits(*bits).to_f32();
                }
            }
            Form::Eight(packed) => packed.look_up::<8>(row, out),
            Form::Four(packed) => packed.look_up::<4>(row, out),
            Form::Planes(planes) => planes.look_up(row, out),
        }
    }
}

/// Where a block belongs.
#[derive(Clone, Copy)]
pub(super) struct At {
    /// The sixteen of its row.
    pub(super) sixteen: usize,
    /// Of those of its row.
    pub(super) block: usize,
    /// Its row within the sixteen.
    pub(super) lane: usize,
}

/// What is left to read of a matrix.
struct Rest<'a, R> {
    name: &'a str,
    reader: &'a mut R,
    kind: GgmlDType,
    width: usize,
}

impl<R: Read> Rest<'_, R> {
    fn four(&mut self, rows: usize) -> Result<Packed> {
        let mut packed = Packed::zeros::<4>(rows, self.width);
        self.packed::<16>(rows, |at, scale, weights| {
            packed.put::<4>(at, scale, weights);
        })?;
        Ok(packed)
    }

    fn eight(&mut self, rows: usize) -> Result<Packed> {
        let mut packed = Packed::zeros::<8>(rows, self.width);
        self.bytes(rows, |at, scale, weights| {
            let mut turned = [0; BLOCK];
            for (turned, weight) in turned.iter_mut().zip(weights) {
                *turned = weight ^ SIGN;
            }
            packed.put::<8>(at, scale, &turned);
        })?;
        Ok(packed)
    }

    fn planes(&mut self, rows: usize) -> Result<Planes> {
        let mut planes = Planes::zeros(rows, self.width);
        self.bytes(rows, |at, scale, weights| planes.put(at, scale, weights))?;
        Ok(planes)
    }

    /// Kinds that no kernel reads become 8 bits: they are coarser themselves, so the rounding hardly
    /// shows, and it is faster than to unpack them for every token.
    fn bytes(&mut self, rows: usize, mut put: impl FnMut(At, u16, &[u8])) -> Result<()> {
        if self.kind == GgmlDType::Q8_0 {
            return self.packed::<32>(rows, put);
        }
        for sixteen in 0..rows.div_ceil(ROWS) {
            let values = self.floats(ROWS.min(rows - sixteen * ROWS))?;
            for (index, block) in values.chunks_exact(BLOCK).enumerate() {
                let (scale, weights) = rounded(block);
                put(self.at(sixteen, index, scale)?, scale, &weights);
            }
        }
        Ok(())
    }

    /// Blocks with a scale and `BYTES` of weights.
    fn packed<const BYTES: usize>(
        &mut self,
        rows: usize,
        mut put: impl FnMut(At, u16, &[u8]),
    ) -> Result<()> {
        let mut bytes = Vec::new();
        for sixteen in 0..rows.div_ceil(ROWS) {
            self.rows(ROWS.min(rows - sixteen * ROWS), &mut bytes)?;
            let blocks = bytes.chunks_exact(SCALE_BYTES + BYTES).enumerate();
            for (index, block) in blocks {
                let (scale, weights) = block.split_at(SCALE_BYTES);
                let scale = u16::from_le_bytes([scale[0], scale[1]]);
                put(self.at(sixteen, index, scale)?, scale, weights);
            }
        }
        Ok(())
    }

    /// Where a block of sixteen rows belongs, counted row by row; its scale has to be finite.
    fn at(&self, sixteen: usize, index: usize, scale: u16) -> Result<At> {
        if scale & NOT_FINITE == NOT_FINITE {
            return Err(self.not_finite());
        }
        let blocks = self.width / BLOCK;
        Ok(At {
            sixteen,
            block: index % blocks,
            lane: index / blocks,
        })
    }

    fn halves(&mut self, rows: usize) -> Result<Vec<u16>> {
        let mut bytes = Vec::new();
        let mut halves = Vec::with_capacity(rows * self.width);
        for _ in 0..rows {
            self.rows(1, &mut bytes)?;
            let pairs = bytes.as_chunks().0.iter();
            halves.extend(pairs.map(|pair| u16::from_le_bytes(*pair)));
        }
        if halves.iter().any(|bits| bits & NOT_FINITE == NOT_FINITE) {
            return Err(self.not_finite());
        }
        Ok(halves)
    }

    fn dense(&mut self, rows: usize) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(rows * self.width);
        for first in (0..rows).step_by(ROWS_TOGETHER) {
            values.extend(self.floats(ROWS_TOGETHER.min(rows - first))?);
        }
        Ok(values)
    }

    /// The weights of rows of any kind, as candle understands them.
    fn floats(&mut self, rows: usize) -> Result<Vec<f32>> {
        let mut bytes = Vec::new();
        self.rows(rows, &mut bytes)?;
        let storage = QStorage::from_data(bytes.into(), &Device::Cpu, self.kind)?;
        let tensor = QTensor::new(storage, (rows, self.width))?.dequantize(&Device::Cpu)?;
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        Err(self.not_finite())
    }

    /// Reads the bytes of the next rows.
    fn rows(&mut self, count: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let size = self.width / self.kind.block_size() * self.kind.type_size();
        bytes.resize(count * size, 0);
        let read = self.reader.read_exact(bytes);
        read.map_err(|error| Error::corrupt(format!("the tensor {}: {error}", self.name)))
    }

    fn not_finite(&self) -> Error {
        let name = self.name;
        Error::corrupt(format!("the tensor {name} has a number that is not finite"))
    }
}

/// A block as bytes with a scale, the largest being 127.
fn rounded(block: &[f32]) -> (u16, [u8; BLOCK]) {
    let largest = block.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let scale = half::f16::from_f32(largest / SIZE_MAX);
    let inverse = if scale.to_f32() > 0.0 {
        1.0 / scale.to_f32()
    } else {
        0.0
    };
    let mut bytes = [0; BLOCK];
    for (byte, x) in bytes.iter_mut().zip(block) {
        #[expect(clippy::cast_possible_truncation, reason = "it is at most 127")]
        let whole = (x * inverse).round().clamp(-SIZE_MAX, SIZE_MAX) as i8;
        *byte = whole.cast_unsigned();
    }
    (scale.to_bits(), bytes)
}

impl Packed {
    pub(super) fn zeros<const LINES: usize>(rows: usize, width: usize) -> Self {
        let blocks = width / BLOCK;
        let all = rows.div_ceil(ROWS) * blocks;
        Self {
            lines: vec![Line([0; 4 * ROWS]); all * LINES],
            scales: vec![[0; ROWS]; all],
            blocks,
            together: rows_together(),
        }
    }

    /// Where the `index`-th four columns of a block are: a line, and a place within it.
    #[inline]
    pub(super) fn place<const LINES: usize>(&self, at: At, index: usize) -> (usize, usize) {
        if self.together == ROWS {
            let line = (at.sixteen * self.blocks + at.block) * LINES + index;
            return (line, at.lane);
        }
        let eight = at.sixteen * 2 + at.lane / LANES;
        let line = (eight * self.blocks + at.block) * (LINES / 2) + index / 2;
        (line, index % 2 * LANES + at.lane % LANES)
    }

    pub(super) fn scale(&self, at: At) -> f32 {
        let scale = self.scales[at.sixteen * self.blocks + at.block][at.lane];
        half::f16::from_bits(scale).to_f32()
    }

    pub(super) fn put_scale(&mut self, at: At, scale: u16) {
        self.scales[at.sixteen * self.blocks + at.block][at.lane] = scale;
    }

    /// Writes a block of a row between those of the other rows.
    fn put<const LINES: usize>(&mut self, at: At, scale: u16, weights: &[u8]) {
        self.put_scale(at, scale);
        for (index, four) in weights.as_chunks::<4>().0.iter().enumerate() {
            let (line, place) = self.place::<LINES>(at, index);
            self.lines[line].0.as_chunks_mut().0[place] = *four;
        }
    }

    /// Blocks of a part of sixteen rows, and scales of all sixteen.
    #[inline(always)]
    pub(super) fn part<R: Rows, const LINES: usize>(
        &self,
        sixteen: usize,
        part: usize,
    ) -> (&[Line], &[[u16; ROWS]]) {
        let size = self.blocks * LINES / R::PARTS;
        let lines = &self.lines[(sixteen * R::PARTS + part) * size..][..size];
        let scales = &self.scales[sixteen * self.blocks..][..self.blocks];
        (lines, scales)
    }

    /// Four columns after the other of a block.
    fn fours<const LINES: usize>(&self, at: At) -> [[u8; 4]; LINES] {
        from_fn(|index| {
            let (line, place) = self.place::<LINES>(at, index);
            self.lines[line].0.as_chunks().0[place]
        })
    }

    fn look_up<const LINES: usize>(&self, row: usize, out: &mut [f32]) {
        let (sixteen, lane) = (row / ROWS, row % ROWS);
        for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            let at = At {
                sixteen,
                block,
                lane,
            };
            let scale = self.scale(at);
            let bytes = self.fours::<LINES>(at);
            for (column, byte) in bytes.as_flattened().iter().enumerate() {
                if LINES == 8 {
                    out[column] = scale * f32::from((byte ^ SIGN).cast_signed());
                } else {
                    let nibble = |bits: u8| f32::from(bits.cast_signed() - 8);
                    out[column] = scale * nibble(byte & 15);
                    out[column + BLOCK / 2] = scale * nibble(byte >> 4);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::portable::Portable;
    use crate::splitmix::SplitMix64;

    /// Whatever the processor of the test takes at a time.
    #[test]
    fn rows_lie_as_a_machine_of_eight_reads_them() {
        let (rows, blocks) = (20, 3);
        let mut packed = Packed::zeros::<8>(rows, blocks * BLOCK);
        packed.together = LANES;
        let all = (0..rows).flat_map(|row| (0..blocks).map(move |block| (row, block)));
        let all = all.map(|(row, block)| At {
            sixteen: row / ROWS,
            block,
            lane: row % ROWS,
        });
        let weights = |at: At| {
            let seed = (at.sixteen * ROWS + at.lane) * blocks + at.block;
            let mut seed = SplitMix64(seed as u64);
            from_fn::<_, BLOCK, _>(|_| seed.next().to_le_bytes()[0])
        };
        for at in all.clone() {
            packed.put::<8>(at, 0, &weights(at));
        }

        for at in all {
            let weights = weights(at);
            assert_eq!(packed.fours::<8>(at).as_flattened(), weights);
            let (lines, _) = packed.part::<Portable, 8>(at.sixteen, at.lane / LANES);
            let lines = &lines[at.block * 4..][..4];
            for (index, four) in weights.as_chunks::<4>().0.iter().enumerate() {
                let place = index % 2 * LANES + at.lane % LANES;
                assert_eq!(lines[index / 2].0.as_chunks().0[place], *four);
            }
        }
    }
}
