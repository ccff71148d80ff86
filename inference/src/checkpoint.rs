//! Tensors by name, out of a GGUF file or out of safetensors; names are those of GGUF.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::weights::Matrix as Weights;
use crate::matrix::Matrix;
use crate::shards::Shards;

/// An open model whose tensors are read one at a time, so that loading needs no second copy.
pub struct Checkpoint {
    config: Config,
    tensors: Tensors,
    expanded: bool,
}

enum Tensors {
    Gguf {
        content: Content,
        reader: Box<dyn Source>,
    },
    Safetensors(Shards),
}

trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

impl Checkpoint {
    /// Opens a GGUF file and reads its header.
    pub fn open_gguf(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| missing(path, &error))?;
        Self::read_gguf(Box::new(BufReader::with_capacity(1 << 20, file)))
    }

    /// Reads the header of a GGUF that is in memory, as the starter model is.
    pub fn from_gguf_bytes(bytes: &'static [u8]) -> Result<Self> {
        Self::read_gguf(Box::new(Cursor::new(bytes)))
    }

    fn read_gguf(mut reader: Box<dyn Source>) -> Result<Self> {
        let content = Content::read(&mut reader).map_err(|error| unreadable(&error))?;
        let config = Config::from_gguf(&content.metadata)?;
        let tensors = Tensors::Gguf { content, reader };
        Ok(Self {
            config,
            tensors,
            expanded: false,
        })
    }

    /// Opens the shards of a safetensors model beside its `config.json`.
    pub fn open_safetensors(config: &Path, shards: &[impl AsRef<Path>]) -> Result<Self> {
        let text = std::fs::read_to_string(config).map_err(|error| missing(config, &error))?;
        let json = serde_json::from_str(&text)
            .map_err(|error| Error::corrupt(format!("{}: {error}", config.display())))?;
        let config = Config::from_json(&json)?;
        let tensors = Tensors::Safetensors(Shards::open(shards)?);
        Ok(Self {
            config,
            tensors,
            expanded: false,
        })
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Makes f32 of all matrices when they are read, to compare with what is computed of fewer bits.
    pub fn expand(&mut self) {
        self.expanded = true;
    }

    /// The metadata of a GGUF, which holds its tokenizer too.
    pub(crate) fn metadata(&self) -> Option<&HashMap<String, Value>> {
        match &self.tensors {
            Tensors::Gguf { content, .. } => Some(&content.metadata),
            Tensors::Safetensors(_) => None,
        }
    }

    /// Weights of all tensors together.
    pub(crate) fn parameters(&self) -> u64 {
        match &self.tensors {
            Tensors::Gguf { content, .. } => {
                let tensors = content.tensor_infos.values();
                tensors.map(|info| info.shape.elem_count() as u64).sum()
            }
            Tensors::Safetensors(shards) => shards.parameters(),
        }
    }

    /// The kind of number that most weights are stored as, in the field's spelling.
    pub(crate) fn quantisation(&self) -> String {
        match &self.tensors {
            Tensors::Gguf { content, .. } => {
                let mut counts: HashMap<GgmlDType, usize> = HashMap::new();
                for info in content.tensor_infos.values() {
                    *counts.entry(info.ggml_dtype).or_default() += info.shape.elem_count();
                }
                let most = counts.into_iter().max_by_key(|(_, count)| *count);
                most.map_or_else(String::new, |(kind, _)| spelling(kind).to_owned())
            }
            Tensors::Safetensors(shards) => shards.quantisation(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.tensors {
            Tensors::Gguf { content, .. } => content.tensor_infos.contains_key(&weight(name)),
            Tensors::Safetensors(shards) => shards.has(name),
        }
    }

    /// Rows of a matrix, without reading it.
    pub(crate) fn rows(&self, name: &str) -> Result<usize> {
        let rows = match &self.tensors {
            Tensors::Gguf { content, .. } => content
                .tensor_infos
                .get(&weight(name))
                .and_then(|info| info.shape.dims().first().copied()),
            Tensors::Safetensors(shards) => shards.rows(name),
        };
        rows.ok_or_else(|| absent(name))
    }

    /// A matrix to multiply with; it stays quantised if it is.
    pub(crate) fn matrix(&mut self, name: &str, device: &Device) -> Result<Matrix> {
        match &mut self.tensors {
            Tensors::Gguf { content, reader } => {
                let tensor = read(content, reader, name, device)?;
                Matrix::quantised(tensor).map_err(|error| unreadable(&error))
            }
            Tensors::Safetensors(shards) => Ok(Matrix::Dense(shards.read(name, device)?)),
        }
    }

    /// A matrix of `rows` (any number, if not given) and `width`, as a CPU reads it.
    pub(crate) fn weights(
        &mut self,
        name: &str,
        rows: Option<usize>,
        width: usize,
    ) -> Result<Weights> {
        let rows = rows.map_or_else(|| self.rows(name), Ok)?;
        let misshapen = |found: &[usize]| {
            Error::corrupt(format!(
                "the tensor {name} is of {found:?}, not {rows} x {width}"
            ))
        };
        match &mut self.tensors {
            Tensors::Gguf { content, reader } => {
                let info = content.tensor_infos.get(&weight(name));
                let info = info.ok_or_else(|| absent(name))?;
                if info.shape.dims() != [rows, width] {
                    return Err(misshapen(info.shape.dims()));
                }
                if self.expanded {
                    let tensor = read(content, reader, name, &Device::Cpu)?;
                    let tensor = tensor.dequantize(&Device::Cpu)?.flatten_all()?;
                    return Ok(Weights::dense(tensor.to_vec1()?, width));
                }
                let start = content.tensor_data_offset.saturating_add(info.offset);
                let sought = reader.seek(SeekFrom::Start(start));
                sought.map_err(|error| Error::corrupt(format!("the tensor {name}: {error}")))?;
                Weights::read(name, reader, info.ggml_dtype, rows, width)
            }
            Tensors::Safetensors(shards) => {
                let tensor = shards.read(name, &Device::Cpu)?;
                if tensor.dims() != [rows, width] {
                    return Err(misshapen(tensor.dims()));
                }
                Ok(Weights::dense(tensor.flatten_all()?.to_vec1()?, width))
            }
        }
    }

    /// The factors of a norm, as a CPU reads them.
    pub(crate) fn factors(&mut self, name: &str, width: usize) -> Result<Vec<f32>> {
        let factors = self.norm(name, &Device::Cpu)?.flatten_all()?.to_vec1()?;
        if factors.len() == width {
            return Ok(factors);
        }
        let found = factors.len();
        Err(Error::corrupt(format!(
            "the norm {name} is of {found}, not of {width}"
        )))
    }

    /// The factors of a norm. GGUF stores them as they are used, safetensors without the one.
    pub(crate) fn norm(&mut self, name: &str, device: &Device) -> Result<Tensor> {
        match &mut self.tensors {
            Tensors::Gguf { content, reader } => {
                let tensor = read(content, reader, name, device)?;
                tensor
                    .dequantize(device)
                    .map_err(|error| unreadable(&error))
            }
            Tensors::Safetensors(shards) => Ok((shards.read(name, device)? + 1.0)?),
        }
    }
}

fn weight(name: &str) -> String {
    format!("{name}.weight")
}

fn read(
    content: &Content,
    reader: &mut Box<dyn Source>,
    name: &str,
    device: &Device,
) -> Result<QTensor> {
    let read = content.tensor(reader, &weight(name), device);
    read.map_err(|error| Error::corrupt(format!("the tensor {name}: {error}")))
}

fn absent(name: &str) -> Error {
    Error::corrupt(format!("the tensor {name} is missing"))
}

fn unreadable(error: &candle_core::Error) -> Error {
    Error::corrupt(format!("the GGUF cannot be read: {error}"))
}

/// A file that should be there and is not, or that may not be read.
pub(crate) fn missing(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(
        format!("{}: {error}", path.display()),
        "check the path and its permissions, or choose another model",
    )
}

fn spelling(kind: GgmlDType) -> &'static str {
    match kind {
        GgmlDType::F32 => "f32",
        GgmlDType::F16 => "f16",
        GgmlDType::BF16 => "bf16",
        GgmlDType::Q4_0 => "q4_0",
        GgmlDType::Q4_1 => "q4_1",
        GgmlDType::Q5_0 => "q5_0",
        GgmlDType::Q5_1 => "q5_1",
        GgmlDType::Q8_0 => "q8_0",
        GgmlDType::Q8_1 => "q8_1",
        GgmlDType::Q2K => "q2_k",
        GgmlDType::Q3K => "q3_k",
        GgmlDType::Q4K => "q4_k",
        GgmlDType::Q5K => "q5_k",
        GgmlDType::Q6K => "q6_k",
        GgmlDType::Q8K => "q8_k",
    }
}
