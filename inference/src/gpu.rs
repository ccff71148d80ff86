//! [`Gemma`] as a network, for the devices that candle computes on.

use candle_core::{DType, Tensor};

use crate::cpu::{Part, Row};
use crate::error::Result;
use crate::gemma::{Cache, Gemma};
use crate::kernels::machine::LANES;
use crate::network::Network;

/// A model on a device, with the caches that no sequence uses now.
pub(crate) struct Device {
    gemma: Gemma,
    free: Vec<Cache>,
    logits: Vec<Vec<f32>>,
}

/// The past of a sequence.
#[derive(Default)]
pub(crate) struct Past {
    length: usize,
    cache: Option<Cache>,
}

impl Device {
    pub(crate) fn new(gemma: Gemma) -> Self {
        Self {
            gemma,
            free: Vec::new(),
            logits: Vec::new(),
        }
    }
}

impl Network for Device {
    type Sequence = Past;

    /// A cache is made for all positions that there may be.
    fn past_bytes(&self, _tokens: usize) -> usize {
        let config = self.gemma.config();
        let layers = config.windowed.len();
        let position = 2 * config.kv_heads * config.head_width * size_of::<f32>();
        layers * position * self.gemma.positions()
    }

    fn compute(&mut self, parts: &mut [Part<'_, Past>]) -> Result<()> {
        self.logits.clear();
        for Part {
            ids,
            sequence,
            wanted,
        } in parts
        {
            let cache = match &mut sequence.cache {
                Some(cache) => cache,
                none => none.insert(self.free.pop().map_or_else(|| self.gemma.cache(1), Ok)?),
            };
            let tensor = Tensor::new(*ids, self.gemma.device())?.unsqueeze(0)?;
            let hidden = self.gemma.forward(&tensor, sequence.length, cache)?;
            sequence.length += ids.len();
            let wanted = (*wanted).min(ids.len());
            if wanted > 0 {
                let hidden = hidden.narrow(1, ids.len() - wanted, wanted)?;
                let logits = self.gemma.logits(&hidden)?.squeeze(0)?;
                let rows = logits.to_dtype(DType::F32)?.to_vec2::<f32>()?;
                self.logits.extend(rows);
            }
        }
        Ok(())
    }

    fn hand_out<T: Send>(&mut self, to: &mut [T], work: impl Fn(&mut T, Row<'_>) + Sync) {
        for (to, logits) in to.iter_mut().zip(&mut self.logits) {
            let vocabulary = logits.len();
            logits.resize(vocabulary.next_multiple_of(LANES), 0.0);
            work(to, Row::alone(logits, vocabulary));
        }
    }

    fn end(&mut self, sequence: &mut Past) {
        self.free.extend(sequence.cache.take());
        sequence.length = 0;
    }
}
