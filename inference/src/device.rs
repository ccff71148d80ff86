//! Where the model is computed; chosen here and nowhere else.

use std::str::FromStr;

use candle_core::Device;

use crate::error::{Error, Result};

/// A kind of processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compute {
    /// The processor that every machine has.
    #[default]
    Cpu,
    /// The first CUDA device; needs a build with the feature `cuda`.
    Cuda,
}

impl FromStr for Compute {
    type Err = Error;

    /// Reads `cpu` or `cuda`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            other => Err(Error::unavailable(
                format!("{other} is no device"),
                "set LYO_DEVICE to cpu or cuda",
            )),
        }
    }
}

impl Compute {
    pub(crate) fn device(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda if cfg!(feature = "cuda") => Device::new_cuda(0).map_err(|error| {
                Error::unavailable(
                    format!("no CUDA device can be used: {error}"),
                    "check the driver with nvidia-smi, or set LYO_DEVICE=cpu",
                )
            }),
            Self::Cuda => Err(Error::unavailable(
                "this program was built without CUDA",
                "build it with `--features cuda`, or set LYO_DEVICE=cpu",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn asking_for_cuda_without_it_says_what_to_do() {
        let error = Compute::Cuda
            .device()
            .expect_err("the feature is off")
            .to_string();

        assert!(
            error.contains("--features cuda") && error.contains("LYO_DEVICE=cpu"),
            "{error}"
        );
    }
}
