//! One answer while it is written: its tokens, its grammar, its chance, its listener.

use std::sync::Arc;

use crate::cpu::Row;
use crate::error::{Error, Result};
use crate::grammar::{Grammar, Grammars};
use crate::request::{Finish, Generation, Request};
use crate::sampler::Sampler;
use crate::tokenizer::Tokenizer;

/// What one request has become so far.
pub(crate) struct Writer {
    request: Request,
    tokenizer: Arc<Tokenizer>,
    grammar: Option<Grammar>,
    sampler: Sampler,
    /// Most tokens were allowed when last asked. Then the first pick of all mostly is; where it is not, one
    /// among those that are has the chances that the refused ones had.
    free: bool,
    /// The prompt, and behind it the answer.
    tokens: Vec<u32>,
    prompt: usize,
    /// Tokens that went through the model.
    computed: usize,
    text: Vec<u8>,
    /// Bytes that were sent to the listener: whole characters only.
    sent: usize,
    end: Option<Result<Finish>>,
}

impl Writer {
    /// Begins with what the grammar forces: it is computed together with the prompt.
    ///
    /// # Errors
    /// [`Error::Schema`].
    pub(crate) fn new(
        request: Request,
        prompt: Vec<u32>,
        tokenizer: &Arc<Tokenizer>,
        grammars: &mut Grammars,
    ) -> Result<Self> {
        let schema = request.schema.as_ref();
        let mut writer = Self {
            grammar: schema.map(|schema| grammars.compile(schema)).transpose()?,
            sampler: Sampler::new(request.sampling.clone()),
            free: false,
            request,
            tokenizer: tokenizer.clone(),
            prompt: prompt.len(),
            tokens: prompt,
            computed: 0,
            text: Vec::new(),
            sent: 0,
            end: None,
        };
        let end = writer.follow();
        writer.end = end.transpose();
        Ok(writer)
    }

    /// Are both to be asked by one thread?
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        let grammars = self.grammar.as_ref().zip(other.grammar.as_ref());
        grammars.is_some_and(|(grammar, other)| grammar.shares_with(other))
    }

    /// Does anybody still wait for it? Asked before every step.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.request.cancel.is_cancelled()
    }

    /// Has it begun to answer? Until then it reads.
    pub(crate) fn is_answering(&self) -> bool {
        self.computed >= self.prompt
    }

    /// The prompt, and behind it the answer so far.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(crate) fn prompt(&self) -> &[u32] {
        &self.tokens[..self.prompt]
    }

    /// The tokens that have to go through the model next.
    pub(crate) fn pending(&self) -> &[u32] {
        &self.tokens[self.computed..]
    }

    /// Says that so many of the pending tokens went through.
    pub(crate) fn passed(&mut self, count: usize) {
        self.computed += count;
    }

    /// Picks the next token from the logits after the last one, and takes what has to follow.
    pub(crate) fn advance(&mut self, logits: Row<'_>) {
        let end = self.pick(logits).and_then(|id| self.take(id));
        self.end = end.transpose();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// The answer, once it has ended.
    pub(crate) fn finish(self) -> Result<Generation> {
        let unfinished = Err(Error::Engine("the answer has not ended".into()));
        let finish = self.end.unwrap_or(unfinished)?;
        Ok(Generation {
            text: String::from_utf8_lossy(&self.text).into_owned(),
            tokens_in: self.prompt,
            tokens_out: self.tokens.len() - self.prompt,
            finish,
        })
    }

    fn pick(&mut self, logits: Row<'_>) -> Result<u32> {
        let (answer, size) = (&self.tokens[self.prompt..], self.tokenizer.size());
        let Some(grammar) = &mut self.grammar else {
            return self.sampler.pick(logits, size, None, answer);
        };
        if self.free {
            let id = self.sampler.pick(logits, size, None, answer)?;
            if grammar.try_accept(id)? {
                return Ok(id);
            }
        }
        let allowed = grammar.allowed()?;
        let count = allowed.num_set();
        self.free = count > size / 2;
        let id = match (count, allowed.first_bit_set()) {
            (1, Some(only)) => u32::try_from(only).unwrap_or(u32::MAX),
            _ => self.sampler.pick(logits, size, Some(&allowed), answer)?,
        };
        grammar.accept(id)?;
        Ok(id)
    }

    fn take(&mut self, id: u32) -> Result<Option<Finish>> {
        if self.tokenizer.ends_answer(id) {
            return Ok(Some(Finish::Stop));
        }
        self.extend(&[id]);
        self.follow()
    }

    /// Takes the tokens that have to come next whatever the model thinks; says whether that is all.
    fn follow(&mut self) -> Result<Option<Finish>> {
        loop {
            let grammar = self.grammar.as_mut();
            let forced = grammar.map_or(Ok(Vec::new()), Grammar::take_forced)?;
            if forced.iter().any(|id| self.tokenizer.ends_answer(*id)) {
                return Ok(Some(Finish::Stop));
            }
            let all = self.extend(&forced);
            if all && self.grammar.as_ref().is_some_and(Grammar::is_complete) {
                return Ok(Some(Finish::Stop));
            }
            if self.room() == 0 {
                return Ok(Some(Finish::Length));
            }
            if forced.is_empty() {
                return Ok(None);
            }
        }
    }

    fn room(&self) -> usize {
        self.request.tokens_max - (self.tokens.len() - self.prompt)
    }

    /// Adds tokens as far as there is room; says whether there was enough.
    fn extend(&mut self, ids: &[u32]) -> bool {
        let taken = ids.len().min(self.room());
        for id in &ids[..taken] {
            self.tokens.push(*id);
            self.text.extend_from_slice(self.tokenizer.bytes(*id));
        }
        self.send();
        taken == ids.len()
    }

    fn send(&mut self) {
        let Some(listener) = &self.request.on_token else {
            return;
        };
        let whole = match std::str::from_utf8(&self.text[self.sent..]) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let piece = &self.text[self.sent..self.sent + whole];
        if !piece.is_empty() {
            // A listener that is behind misses pieces: the answer must not wait for it.
            let _ = listener.try_send(String::from_utf8_lossy(piece).into_owned());
            self.sent += whole;
        }
    }
}
