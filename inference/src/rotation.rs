//! Rotary positions.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rotary_emb::rope;

/// Cosines and sines of every position, shared by all layers of one kind.
pub(crate) struct Rotation {
    cos: Tensor,
    sin: Tensor,
}

impl Rotation {
    pub(crate) fn new(
        theta: f64,
        factor: f64,
        head_width: usize,
        positions: usize,
        device: &Device,
    ) -> Result<Self> {
        let half = head_width / 2;
        let exponents = Tensor::arange_step(0u32, to_u32(head_width), 2, &Device::Cpu)?;
        // In f64 up to here: the angles of late positions amplify every rounding of a frequency.
        let exponents = (exponents.to_dtype(DType::F64)? * (-theta.ln() / to_f64(head_width)))?;
        let frequencies = (exponents.exp()? / factor)?.to_dtype(DType::F32)?;
        let positions = Tensor::arange(0u32, to_u32(positions), &Device::Cpu)?;
        let positions = positions.to_dtype(DType::F32)?.unsqueeze(1)?;
        let angles = positions.broadcast_mul(&frequencies.reshape((1, half))?)?;
        Ok(Self {
            cos: angles.cos()?.to_device(device)?,
            sin: angles.sin()?.to_device(device)?,
        })
    }

    /// Turns every head of `x`, `(batch, heads, length, width)`, to where it stands.
    pub(crate) fn apply(&self, x: &Tensor, position: usize) -> Result<Tensor> {
        let length = x.dim(2)?;
        rope(
            x,
            &self.cos.narrow(0, position, length)?,
            &self.sin.narrow(0, position, length)?,
        )
    }
}

fn to_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn to_f64(size: usize) -> f64 {
    f64::from(to_u32(size))
}
