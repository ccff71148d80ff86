//! Matrices of weights, laid out for the loops that read them.

use std::io::Read;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{Device, Module, Tensor};

use super::machine::{BLOCK, LANES, Line};
use crate::error::{Error, Result};

/// Bytes of a scale in a file.
const SCALE_BYTES: usize = 2;
/// An exponent of a half that stands for infinity or for no number.
const NOT_FINITE: u16 = 0x7c00;

/// A matrix that rows of activations are multiplied with, or whose rows are looked up.
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) form: Form,
}

/// How the weights of a matrix are stored.
pub(crate) enum Form {
    /// `Q8_0`, eight rows interleaved; a block is eight lines.
    Eight(Packed),
    /// `Q4_0`, eight rows interleaved; a block is four lines.
    Four(Packed),
    /// Plain f32, row by row.
    Dense(Vec<f32>),
    /// Everything else, as candle computes it.
    Candle(QMatMul),
}

/// Blocks of 32 columns of 8 rows, group of rows by group of rows, each with its 8 scales.
///
/// Takes the very bytes that it takes in the file; missing rows of the last group are zeros.
pub(crate) struct Packed {
    pub(crate) lines: Vec<Line>,
    pub(crate) scales: Vec<[u16; LANES]>,
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
    /// [`Error::Corrupt`] when it ends too early, or when a scale is not a finite number.
    pub(crate) fn read(
        name: &str,
        reader: &mut impl Read,
        kind: GgmlDType,
        rows: usize,
        width: usize,
    ) -> Result<Self> {
        let form = match kind {
            GgmlDType::Q8_0 => Form::Eight(Packed::read::<32, 8>(name, reader, rows, width)?),
            GgmlDType::Q4_0 => Form::Four(Packed::read::<16, 4>(name, reader, rows, width)?),
            kind => Form::candle(name, reader, kind, rows, width)?,
        };
        Ok(Self { rows, width, form })
    }

    /// Groups of eight rows; the last one may be padded.
    pub(crate) fn groups(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// Does it need activations as they are, not quantised?
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.form, Form::Dense(_) | Form::Candle(_))
    }

    /// Bytes of its weights in memory.
    pub(crate) fn bytes(&self) -> usize {
        match &self.form {
            Form::Eight(packed) | Form::Four(packed) => {
                size_of_val(packed.lines.as_slice()) + size_of_val(packed.scales.as_slice())
            }
            Form::Dense(values) => size_of_val(values.as_slice()),
            Form::Candle(QMatMul::QTensor(tensor)) => tensor.storage_size_in_bytes(),
            Form::Candle(_) => self.rows * self.width * size_of::<f32>(),
        }
    }

    /// Writes a row into `out`, which has its width.
    pub(crate) fn look_up(&self, row: usize, out: &mut [f32]) -> Result<()> {
        match &self.form {
            Form::Dense(values) => {
                out.copy_from_slice(&values[row * self.width..(row + 1) * self.width]);
            }
            Form::Eight(packed) => packed.look_up::<8>(row, self.width, out),
            Form::Four(packed) => packed.look_up::<4>(row, self.width, out),
            Form::Candle(weights) => {
                let id = u32::try_from(row).unwrap_or(u32::MAX);
                let values = weights.embedding(&Tensor::new(&[id], &Device::Cpu)?)?;
                out.copy_from_slice(&values.flatten_all()?.to_vec1::<f32>()?);
            }
        }
        Ok(())
    }
}

impl Form {
    fn candle(
        name: &str,
        reader: &mut impl Read,
        kind: GgmlDType,
        rows: usize,
        width: usize,
    ) -> Result<Self> {
        if !width.is_multiple_of(kind.block_size()) {
            return Err(Error::corrupt(format!(
                "the tensor {name} has half a block"
            )));
        }
        let mut bytes = vec![0; rows * width / kind.block_size() * kind.type_size()];
        read_exactly(name, reader, &mut bytes)?;
        let storage =
            candle_core::quantized::QStorage::from_data(bytes.into(), &Device::Cpu, kind)?;
        let tensor = QTensor::new(storage, (rows, width))?;
        Ok(match QMatMul::from_qtensor(tensor)? {
            QMatMul::Tensor(tensor) => Self::Dense(tensor.flatten_all()?.to_vec1()?),
            other => Self::Candle(other),
        })
    }
}

impl Packed {
    /// `BYTES` of weights in a block of a row, and the lines that eight of them become.
    fn read<const BYTES: usize, const LINES: usize>(
        name: &str,
        reader: &mut impl Read,
        rows: usize,
        width: usize,
    ) -> Result<Self> {
        if !width.is_multiple_of(BLOCK) {
            return Err(Error::corrupt(format!(
                "the tensor {name} has half a block"
            )));
        }
        let blocks = width / BLOCK;
        let row_bytes = blocks * (SCALE_BYTES + BYTES);
        let groups = rows.div_ceil(LANES);
        let mut lines = vec![Line([0; 32]); groups * blocks * LINES];
        let mut scales = vec![[0; LANES]; groups * blocks];
        let mut group = vec![0; LANES * row_bytes];
        for (index, (lines, scales)) in lines
            .chunks_exact_mut(blocks * LINES)
            .zip(scales.chunks_exact_mut(blocks))
            .enumerate()
        {
            let present = LANES.min(rows - index * LANES);
            read_exactly(name, reader, &mut group[..present * row_bytes])?;
            for (lane, row) in group.chunks_exact(row_bytes).take(present).enumerate() {
                let row = row.chunks_exact(SCALE_BYTES + BYTES);
                let places = lines.chunks_exact_mut(LINES).zip(scales.iter_mut());
                for (block, (lines, scales)) in row.zip(places) {
                    let (scale, weights) = block.split_at(SCALE_BYTES);
                    scales[lane] = u16::from_le_bytes([scale[0], scale[1]]);
                    for (line, four) in lines.iter_mut().zip(weights.chunks_exact(4)) {
                        line.0[lane * 4..lane * 4 + 4].copy_from_slice(four);
                    }
                }
            }
        }
        let broken = |scale: &u16| scale & NOT_FINITE == NOT_FINITE;
        if scales.as_flattened().iter().any(broken) {
            return Err(Error::corrupt(format!(
                "the tensor {name} has a scale that is not a finite number"
            )));
        }
        Ok(Self { lines, scales })
    }

    fn look_up<const LINES: usize>(&self, row: usize, width: usize, out: &mut [f32]) {
        let (group, lane) = (row / LANES, row % LANES);
        let first = group * (width / BLOCK);
        for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            let index = first + block;
            let scale = half::f16::from_bits(self.scales[index][lane]).to_f32();
            let lines = &self.lines[index * LINES..(index + 1) * LINES];
            let bytes = lines
                .iter()
                .flat_map(|line| &line.0[lane * 4..lane * 4 + 4]);
            for (column, byte) in bytes.enumerate() {
                if LINES == 8 {
                    out[column] = scale * f32::from(byte.cast_signed());
                } else {
                    let nibble = |bits: u8| f32::from(bits.cast_signed() - 8);
                    out[column] = scale * nibble(byte & 15);
                    out[column + BLOCK / 2] = scale * nibble(byte >> 4);
                }
            }
        }
    }
}

fn read_exactly(name: &str, reader: &mut impl Read, bytes: &mut [u8]) -> Result<()> {
    let read = reader.read_exact(bytes);
    read.map_err(|error| Error::corrupt(format!("the tensor {name}: {error}")))
}

/// Candle's product of `x`, row by row, with the weights.
pub(crate) fn candle_product(weights: &QMatMul, x: Vec<f32>, width: usize) -> Result<Vec<f32>> {
    let x = Tensor::from_vec(x, ((), width), &Device::Cpu)?;
    Ok(weights.forward(&x)?.flatten_all()?.to_vec1()?)
}
