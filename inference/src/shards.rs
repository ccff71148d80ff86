//! Safetensors files under the names of GGUF.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::checkpoint::missing;
use crate::error::{Error, Result};

/// Longer headers are refused before memory is reserved for them; real ones are below 1 MB.
const HEADER_BYTES_MAX: u64 = 100 << 20;
const LENGTH_BYTES: u64 = 8;
/// Multimodal files nest the text model; plain ones do not. The first that fits is used.
const PREFIXES: [&str; 4] = [
    "",
    "language_model.",
    "model.language_model.",
    "text_model.",
];

/// The tensors of a text model spread over one file or several.
pub(crate) struct Shards {
    tensors: HashMap<String, Place>,
    prefix: &'static str,
}

struct Place {
    path: PathBuf,
    start: u64,
    info: TensorInfo,
}

impl Shards {
    pub(crate) fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut tensors = HashMap::new();
        for path in paths {
            read_header(path.as_ref(), &mut tensors)?;
        }
        let found = |prefix: &&&str| tensors.contains_key(&hub_name(prefix, "token_embd"));
        let prefix = PREFIXES.iter().find(found);
        let prefix = prefix.ok_or_else(|| Error::corrupt("no text model is in the file"))?;
        Ok(Self { tensors, prefix })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&hub_name(self.prefix, name))
    }

    pub(crate) fn rows(&self, name: &str) -> Option<usize> {
        self.tensors
            .get(&hub_name(self.prefix, name))?
            .info
            .shape
            .first()
            .copied()
    }

    pub(crate) fn parameters(&self) -> u64 {
        let count = |place: &Place| place.info.shape.iter().product::<usize>() as u64;
        self.tensors.values().map(count).sum()
    }

    pub(crate) fn quantisation(&self) -> String {
        let embedding = self.tensors.get(&hub_name(self.prefix, "token_embd"));
        embedding.map_or_else(String::new, |place| {
            format!("{:?}", place.info.dtype).to_lowercase()
        })
    }

    /// Reads one tensor as f32: on a CPU half precision is far slower than it is small.
    pub(crate) fn read(&self, name: &str, device: &Device) -> Result<Tensor> {
        let name = hub_name(self.prefix, name);
        let place = self.tensors.get(&name);
        let place = place.ok_or_else(|| Error::corrupt(format!("the tensor {name} is missing")))?;
        let dtype = match place.info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(Error::corrupt(format!("{name} is stored as {other:?}"))),
        };
        let (start, end) = place.info.data_offsets;
        let mut bytes = vec![0; end - start];
        let mut read = || {
            let mut file = File::open(&place.path)?;
            file.seek(SeekFrom::Start(place.start + start as u64))?;
            file.read_exact(&mut bytes)
        };
        read().map_err(|error| missing(&place.path, &error))?;
        let tensor = Tensor::from_raw_buffer(&bytes, dtype, &place.info.shape, device)?;
        Ok(tensor.to_dtype(DType::F32)?)
    }
}

fn read_header(path: &Path, tensors: &mut HashMap<String, Place>) -> Result<()> {
    let damaged = |reason: &str| Error::corrupt(format!("{}: {reason}", path.display()));
    let mut file = File::open(path).map_err(|error| missing(path, &error))?;
    let size = file
        .metadata()
        .map_err(|error| missing(path, &error))?
        .len();
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|_| damaged("the file is cut off"))?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX || length + LENGTH_BYTES > size {
        return Err(damaged("the header does not fit into the file"));
    }
    let mut header = Vec::new();
    file.take(length)
        .read_to_end(&mut header)
        .map_err(|_| damaged("the file is cut off"))?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(&error.to_string()))?;
    let start = LENGTH_BYTES + length;
    if start + header.data_len() as u64 != size {
        return Err(damaged("the file is cut off or has bytes to spare"));
    }
    for (name, info) in header.tensors() {
        let info = info.clone();
        tensors.insert(
            name,
            Place {
                path: path.to_owned(),
                start,
                info,
            },
        );
    }
    Ok(())
}

/// The name under which transformers saves what GGUF calls `name`.
fn hub_name(prefix: &str, name: &str) -> String {
    // `model.language_model.` replaces the `model.` of a plain file instead of standing before it.
    let (model, head) = match prefix {
        "model.language_model." => (prefix.to_owned(), String::new()),
        prefix => (format!("{prefix}model."), prefix.to_owned()),
    };
    let layer = |rest: &str| {
        let (index, part) = rest.split_once('.')?;
        Some(format!("{model}layers.{index}.{}.weight", hub_part(part)?))
    };
    match name {
        "token_embd" => format!("{model}embed_tokens.weight"),
        "output_norm" => format!("{model}norm.weight"),
        "output" => format!("{head}lm_head.weight"),
        name => name
            .strip_prefix("blk.")
            .and_then(layer)
            .unwrap_or_else(|| name.to_owned()),
    }
}

fn hub_part(part: &str) -> Option<&'static str> {
    Some(match part {
        "attn_q" => "self_attn.q_proj",
        "attn_k" => "self_attn.k_proj",
        "attn_v" => "self_attn.v_proj",
        "attn_output" => "self_attn.o_proj",
        "attn_q_norm" => "self_attn.q_norm",
        "attn_k_norm" => "self_attn.k_norm",
        "attn_norm" => "input_layernorm",
        "post_attention_norm" => "post_attention_layernorm",
        "ffn_norm" => "pre_feedforward_layernorm",
        "post_ffw_norm" => "post_feedforward_layernorm",
        "ffn_gate" => "mlp.gate_proj",
        "ffn_up" => "mlp.up_proj",
        "ffn_down" => "mlp.down_proj",
        _ => return None,
    })
}
