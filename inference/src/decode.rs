//! One answer, from the tokens of a prompt to the end.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::gemma::{Cache, Gemma};
use crate::grammar::{Grammar, Grammars};
use crate::request::{Finish, Generation, Request};
use crate::sampler::Sampler;
use crate::tokenizer::Tokenizer;

/// Prompts are computed in pieces of this many tokens, beginning at multiples of it.
///
/// Floating point sums depend on how a sequence is cut. Cutting always at the same places makes a
/// prefix that is used again equal, bit by bit, to one that is computed anew, and so the same seed
/// gives the same answer whatever was asked before.
pub(crate) const CHUNK: usize = 32;

/// The model with the state that one request leaves to the next.
pub(crate) struct Decoder {
    gemma: Gemma,
    cache: Cache,
    /// Tokens of whole chunks of a prompt whose keys and values are in the cache.
    prefix: Vec<u32>,
    tokenizer: Arc<Tokenizer>,
    grammars: Grammars,
}

impl Decoder {
    pub(crate) fn new(gemma: Gemma, tokenizer: Arc<Tokenizer>) -> Result<Self> {
        let grammars = Grammars::new(&tokenizer)?;
        let cache = gemma.cache(1)?;
        Ok(Self {
            gemma,
            cache,
            prefix: Vec::new(),
            tokenizer,
            grammars,
        })
    }

    /// Forgets what is cached, after something went wrong in the middle of it.
    pub(crate) fn reset(&mut self) {
        self.prefix.clear();
    }

    /// Answers `prompt`; `cancelled` is asked before every token.
    pub(crate) fn answer(
        &mut self,
        request: &Request,
        prompt: &[u32],
        cancelled: impl Fn() -> bool,
    ) -> Result<Generation> {
        let schema = request.schema.as_ref();
        let mut grammar = schema
            .map(|schema| self.grammars.compile(schema))
            .transpose()?;
        let mut sampler = Sampler::new(request.sampling.clone());
        let mut answer = Answer::new(self.tokenizer.clone(), request);
        let mut hidden = self.prefill(prompt, &cancelled)?;
        let finish = loop {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let forced = grammar
                .as_mut()
                .map_or(Ok(Vec::new()), Grammar::take_forced)?;
            let complete = grammar.as_ref().is_some_and(Grammar::is_complete);
            let next = if !forced.is_empty() {
                forced
            } else if complete {
                break Finish::Stop;
            } else if answer.is_full() {
                break Finish::Length;
            } else {
                vec![self.pick(&hidden, grammar.as_mut(), &mut sampler, &answer.ids)?]
            };
            if next.iter().any(|id| self.tokenizer.ends_answer(*id)) {
                break Finish::Stop;
            }
            let position = prompt.len() + answer.ids.len();
            let taken = answer.extend(&next);
            if grammar.as_ref().is_some_and(Grammar::is_complete) && taken == next.len() {
                break Finish::Stop;
            }
            if answer.is_full() {
                break Finish::Length;
            }
            hidden = self.forward(&next, position)?;
        };
        Ok(answer.finished(prompt.len(), finish))
    }

    /// Computes the prompt but for the part that is cached; returns the last hidden state.
    fn prefill(&mut self, prompt: &[u32], cancelled: impl Fn() -> bool) -> Result<Tensor> {
        let reused = reusable(&self.prefix, prompt);
        self.prefix.truncate(reused);
        let mut hidden = Err(Error::Engine("the prompt is empty".into()));
        for chunk in prompt[reused..].chunks(CHUNK) {
            if cancelled() {
                return Err(Error::Cancelled);
            }
            let position = self.prefix.len();
            hidden = Ok(self.forward(chunk, position)?);
            if chunk.len() == CHUNK {
                self.prefix.extend_from_slice(chunk);
            }
        }
        hidden
    }

    /// The hidden state of the last of `ids`, which stand at `position`.
    fn forward(&mut self, ids: &[u32], position: usize) -> Result<Tensor> {
        let ids = Tensor::new(ids, self.gemma.device())?.unsqueeze(0)?;
        let hidden = self.gemma.forward(&ids, position, &mut self.cache)?;
        Ok(hidden.narrow(1, hidden.dim(1)? - 1, 1)?)
    }

    fn pick(
        &self,
        hidden: &Tensor,
        grammar: Option<&mut Grammar>,
        sampler: &mut Sampler,
        answer: &[u32],
    ) -> Result<u32> {
        let Some(grammar) = grammar else {
            return sampler.pick(self.logits(hidden)?, None, answer);
        };
        let allowed = grammar.allowed()?;
        let id = match (allowed.num_set(), allowed.first_bit_set()) {
            // Nothing to choose: the largest matrix of the model need not be read.
            (1, Some(only)) => u32::try_from(only).unwrap_or(u32::MAX),
            _ => sampler.pick(self.logits(hidden)?, Some(&allowed), answer)?,
        };
        grammar.accept(id)?;
        Ok(id)
    }

    /// One logit per token; models may have more rows than their tokenizer has tokens.
    fn logits(&self, hidden: &Tensor) -> Result<Vec<f32>> {
        let logits = self.gemma.logits(hidden)?.flatten_all()?;
        let mut logits = logits.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        logits.truncate(self.tokenizer.size());
        Ok(logits)
    }
}

/// How many tokens of `prompt` are in the cache, as whole chunks; the last token never is, because
/// its hidden state is needed.
fn reusable(prefix: &[u32], prompt: &[u32]) -> usize {
    let equal = prefix
        .iter()
        .zip(prompt)
        .take_while(|(old, new)| old == new)
        .count();
    let whole = equal.min(prompt.len().saturating_sub(1)) / CHUNK;
    whole * CHUNK
}

/// The text so far.
struct Answer<'a> {
    tokenizer: Arc<Tokenizer>,
    request: &'a Request,
    ids: Vec<u32>,
    bytes: Vec<u8>,
    /// Bytes that were sent to the listener: whole characters only.
    sent: usize,
}

impl<'a> Answer<'a> {
    fn new(tokenizer: Arc<Tokenizer>, request: &'a Request) -> Self {
        Self {
            tokenizer,
            request,
            ids: Vec::new(),
            bytes: Vec::new(),
            sent: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.ids.len() >= self.request.tokens_max
    }

    /// Adds tokens as far as there is room; returns how many.
    fn extend(&mut self, ids: &[u32]) -> usize {
        let taken = ids.len().min(self.request.tokens_max - self.ids.len());
        for id in &ids[..taken] {
            self.ids.push(*id);
            self.bytes.extend_from_slice(self.tokenizer.bytes(*id));
        }
        self.send();
        taken
    }

    fn send(&mut self) {
        let Some(listener) = &self.request.on_token else {
            return;
        };
        let whole = match std::str::from_utf8(&self.bytes[self.sent..]) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let piece = &self.bytes[self.sent..self.sent + whole];
        if !piece.is_empty() {
            // A listener that is behind misses pieces: the answer must not wait for it.
            let _ = listener.try_send(String::from_utf8_lossy(piece).into_owned());
            self.sent += whole;
        }
    }

    fn finished(self, tokens_in: usize, finish: Finish) -> Generation {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        Generation {
            text,
            tokens_in,
            tokens_out: self.ids.len(),
            finish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_equal_chunks_before_the_last_token_are_reused() {
        let prefix: Vec<u32> = (0..64).collect();
        let with = |length: u32| (0..length).collect::<Vec<_>>();
        let mut differs = with(100);
        differs[40] = 7;

        assert_eq!(reusable(&prefix, &with(100)), 64);
        assert_eq!(reusable(&prefix, &with(64)), 32);
        assert_eq!(reusable(&prefix, &differs), 32);
        assert_eq!(reusable(&prefix, &with(20)), 0);
        assert_eq!(reusable(&[], &with(100)), 0);
    }
}
