//! What the engine needs of a model, wherever it is computed.

use crate::cpu::{Part, Row};
use crate::error::Result;

/// A model that computes several sequences in one step, each as if it were alone.
pub(crate) trait Network {
    /// The past of one sequence; empty at first.
    type Sequence: Default;

    /// Bytes that the past of so many tokens takes at most.
    fn past_bytes(&self, tokens: usize) -> usize;

    /// Lets a sequence begin with what was kept of sequences that began with the same tokens, but
    /// for the last of them; returns how many that are.
    fn reuse(&mut self, _sequence: &mut Self::Sequence, _tokens: &[u32]) -> usize {
        0
    }

    /// Keeps what is computed of a prompt for sequences that begin alike.
    fn keep(&mut self, _sequence: &mut Self::Sequence, _prompt: &[u32]) {}

    /// Computes the tokens of all parts.
    fn compute(&mut self, parts: &mut [Part<'_, Self::Sequence>]) -> Result<()>;

    /// Threads that logits are handed out by.
    fn threads(&self) -> usize;

    /// Hands out the logits that the last step was asked for: by their number, in the order of its
    /// parts. What one of `to` does is done by one thread.
    fn hand_out<T: Send>(
        &mut self,
        to: &mut [T],
        work: impl for<'a> Fn(&mut T, &dyn Fn(usize) -> Row<'a>) + Sync,
    );

    /// Gives back what a sequence holds.
    fn end(&mut self, sequence: &mut Self::Sequence);
}
