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
    /// Of the last step, eight numbers at a time.
    logits: Vec<Vec<f32>>,
    vocabulary: usize,
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
            vocabulary: 0,
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
                let mut rows = logits.to_dtype(DType::F32)?.to_vec2::<f32>()?;
                for row in &mut rows {
                    self.vocabulary = row.len();
                    row.resize(row.len().next_multiple_of(LANES), 0.0);
                }
                self.logits.extend(rows);
            }
        }
        Ok(())
    }

    fn threads(&self) -> usize {
        1
    }

    fn hand_out<T: Send>(
        &mut self,
        to: &mut [T],
        work: impl for<'a> Fn(&mut T, &dyn Fn(usize) -> Row<'a>) + Sync,
    ) {
        for to in to {
            work(to, &|row| Row::alone(&self.logits[row], self.vocabulary));
        }
    }

    fn end(&mut self, sequence: &mut Past) {
        self.free.extend(sequence.cache.take());
        sequence.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device as Place;

    use super::*;
    use crate::cpu::Model;
    use crate::weights::Weights;

    /// The logits after the last of the tokens, which come in two pieces.
    fn last<N: Network>(network: &mut N, ids: &[u32]) -> Result<Vec<f32>> {
        let mut sequence = N::Sequence::default();
        let (first, second) = ids.split_at(ids.len() / 2);
        for (ids, wanted) in [(first, 0), (second, 1)] {
            let sequence = &mut sequence;
            network.compute(&mut [Part {
                ids,
                sequence,
                wanted,
            }])?;
        }
        let mut rows = [Vec::new()];
        network.hand_out(&mut rows, |row, logits| logits(0).copy_to(row));
        network.end(&mut sequence);
        let [row] = rows;
        Ok(row)
    }

    #[test]
    fn candle_computes_what_our_kernels_compute() -> Result<()> {
        let weights = Weights::starter();
        let ids: Vec<u32> = (0..50).map(|place| 300 + place * 7).collect();
        let (mut exact, mut candles) = (weights.open()?, weights.open()?);
        exact.expand();

        let ours = last(&mut Model::load(&mut exact, 64, 1)?, &ids)?;
        let mut device = Device::new(Gemma::load(&mut candles, 64, &Place::Cpu)?);
        for _ in 0..2 {
            let theirs = last(&mut device, &ids)?;

            let pairs = ours.iter().zip(&theirs);
            let largest = pairs.fold(0f32, |largest, (a, b)| largest.max((a - b).abs()));
            assert_eq!(ours.len(), theirs.len());
            // Candle rounds activations to 8 bits, our kernels were given f32 here.
            assert!(largest < 0.5, "{largest}");
        }
        assert_eq!(device.free.len(), 1);
        Ok(())
    }
}
