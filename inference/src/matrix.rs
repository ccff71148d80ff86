//! A matrix of weights, in the form that is fast for it.

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{Module, Result, Tensor};

/// Weights of `(rows, columns)` that are multiplied with, or looked up by row.
#[derive(Clone)]
pub(crate) enum Matrix {
    /// Computed by candle in the form that the file has.
    Quantised(QMatMul),
    /// Plain f32.
    Dense(Tensor),
}

impl Matrix {
    /// Keeps what is quantised as it is; candle would make f32 of the others anyway.
    pub(crate) fn quantised(tensor: QTensor) -> Result<Self> {
        match QMatMul::from_qtensor(tensor)? {
            QMatMul::Tensor(tensor) => Ok(Self::Dense(tensor)),
            quantised => Ok(Self::Quantised(quantised)),
        }
    }

    /// `x` of `(batch, length, columns)` becomes `(batch, length, rows)`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Quantised(weights) => weights.forward(x),
            Self::Dense(weights) => x.broadcast_matmul(&weights.t()?),
        }
    }

    /// The rows of `ids`, `(batch, length)`, as `(batch, length, columns)`.
    pub(crate) fn embedding(&self, ids: &Tensor) -> Result<Tensor> {
        match self {
            Self::Quantised(weights) => weights.embedding(ids),
            Self::Dense(weights) => {
                let (batch, length) = ids.dims2()?;
                let rows = weights.index_select(&ids.flatten_all()?, 0)?;
                rows.reshape((batch, length, weights.dim(1)?))
            }
        }
    }
}
