//! Answers that are written together, each a token further with every step of the model.
//!
//! A step has at most [`STEP_TOKENS`] tokens: one of every answer, and pieces of the prompts that
//! are still read, the oldest first. So a prompt that comes in holds nobody up for long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::cpu::Part;
use crate::error::{Error, Result};
use crate::grammar::Grammars;
use crate::network::Network;
use crate::request::{Generation, Request};
use crate::tokenizer::Tokenizer;
use crate::writer::Writer;

/// Tokens in a step at most, as long as there are fewer answers.
pub(crate) const STEP_TOKENS: usize = 64;
/// Tokens of other prompts in a step beside an urgent answer: never none, or those who hold a place would
/// wait for as long as others are urgent.
const BESIDE_URGENT_TOKENS: usize = 1;
/// Answers that may be written together; prompts need room in a step beside them.
pub(crate) const PLACES_MAX: usize = STEP_TOKENS / 2;

/// A request that waits.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) prompt: Vec<u32>,
    pub(crate) reply: oneshot::Sender<Result<Generation>>,
    /// When it was sent.
    pub(crate) since: Instant,
    /// Its place among those that wait.
    pub(crate) waits: OwnedSemaphorePermit,
}

/// A model with the answers of its next step.
pub(crate) struct Batch<N: Network> {
    pub(crate) network: N,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) grammars: Grammars,
    pub(crate) running: Vec<Box<Place<N::Sequence>>>,
}

/// An answer that is being written.
pub(crate) struct Place<S> {
    writer: Writer,
    sequence: S,
    reply: oneshot::Sender<Result<Generation>>,
    pub(crate) urgent: bool,
    /// What its past takes at most.
    pub(crate) bytes: usize,
}

impl<N: Network> Batch<N> {
    /// Begins an answer whose past takes so many bytes at most.
    pub(crate) fn begin(&mut self, job: Job, bytes: usize) {
        let Job {
            request,
            prompt,
            reply,
            since: _,
            waits,
        } = job;
        drop(waits);
        let urgent = request.urgent;
        let writer = Writer::new(request, prompt, &self.tokenizer, &mut self.grammars);
        match writer {
            Ok(writer) => self.running.push(Box::new(Place {
                writer,
                sequence: N::Sequence::default(),
                reply,
                urgent,
                bytes,
            })),
            // Nobody listens any more: they cancelled.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Does anybody look on?
    fn is_urgent(&self) -> bool {
        self.running.iter().any(|place| place.urgent)
    }

    /// One step of all answers, and the end of those that are done.
    pub(crate) fn step(&mut self) {
        self.leave();
        let computed = catch_unwind(AssertUnwindSafe(|| self.compute()));
        let error = match computed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => Some(Error::Engine(message(panic.as_ref()))),
        };
        if let Some(error) = error {
            for mut place in self.running.drain(..) {
                self.network.end(&mut place.sequence);
                let _ = place.reply.send(Err(error.clone()));
            }
        }
        self.leave();
    }

    fn compute(&mut self) -> Result<()> {
        for place in &mut self.running {
            if !place.writer.is_answering() {
                let tokens = place.writer.tokens();
                let known = self.network.reuse(&mut place.sequence, tokens);
                place.writer.passed(known);
            }
        }
        let mut parts = Vec::new();
        let counts = self.counts();
        for (place, count) in self.running.iter_mut().zip(&counts) {
            let pending = place.writer.pending();
            if *count > 0 {
                parts.push(Part {
                    wanted: usize::from(*count == pending.len()),
                    ids: &pending[..*count],
                    sequence: &mut place.sequence,
                });
            }
        }
        if parts.is_empty() {
            return Ok(());
        }
        self.network.compute(&mut parts)?;
        let mut ready: Vec<Vec<(usize, &mut Writer)>> = Vec::new();
        let mut row = 0;
        for (place, count) in self.running.iter_mut().zip(counts) {
            if !place.writer.is_answering() {
                let prompt = place.writer.prompt();
                self.network.keep(&mut place.sequence, prompt);
            }
            place.writer.passed(count);
            if count > 0 && place.writer.pending().is_empty() {
                let together = |group: &&mut Vec<(usize, &mut Writer)>| {
                    group
                        .first()
                        .is_some_and(|(_, first)| first.shares_with(&place.writer))
                };
                match ready.iter_mut().find(together) {
                    Some(group) => group.push((row, &mut place.writer)),
                    None => ready.push(vec![(row, &mut place.writer)]),
                }
                row += 1;
            }
        }
        self.network.hand_out(&mut ready, |group, logits| {
            for (row, writer) in group {
                writer.advance(logits(*row));
            }
        });
        Ok(())
    }

    /// How many tokens of every answer go into the next step.
    fn counts(&self) -> Vec<usize> {
        let answering = self.running.iter();
        let answering = answering.map(|place| usize::from(place.writer.is_answering()));
        let mut counts: Vec<usize> = answering.collect();
        let mut room = STEP_TOKENS.saturating_sub(counts.iter().sum());
        for urgent in [true, false] {
            if !urgent && self.is_urgent() {
                room = room.min(BESIDE_URGENT_TOKENS);
            }
            let places = self.running.iter().zip(&mut counts);
            for (place, count) in places.filter(|(place, _)| place.urgent == urgent) {
                let more = (place.writer.pending().len() - *count).min(room);
                *count += more;
                room -= more;
            }
        }
        counts
    }

    /// Lets those go that are done or that nobody waits for.
    fn leave(&mut self) {
        let gone = |place: &mut Box<Place<_>>| {
            place.writer.has_ended() || place.writer.is_cancelled() || place.reply.is_closed()
        };
        for mut place in self.running.extract_if(.., gone) {
            self.network.end(&mut place.sequence);
            let answer = if place.writer.has_ended() {
                place.writer.finish()
            } else {
                Err(Error::Cancelled)
            };
            let _ = place.reply.send(answer);
        }
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it stopped for an unknown reason".into())
}

#[cfg(test)]
pub(crate) mod tests {
    use candle_core::quantized::GgmlDType;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::cpu::Model;
    use crate::random::{Shape, write_gguf};

    pub(crate) fn batch() -> Result<Batch<Model>> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tiny.gguf");
        write_gguf(&path, &Shape::TINY, GgmlDType::Q8_0, 1)?;
        let mut checkpoint = Checkpoint::open_gguf(&path)?;
        let metadata = checkpoint.metadata().expect("a GGUF has metadata");
        let tokenizer = Arc::new(Tokenizer::from_gguf(metadata)?);
        Ok(Batch {
            network: Model::load(&mut checkpoint, 512, 2)?,
            grammars: Grammars::new(&tokenizer)?.twin(2),
            tokenizer,
            running: Vec::new(),
        })
    }

    pub(crate) type Answer = oneshot::Receiver<Result<Generation>>;

    /// A request with a prompt of so many tokens, which all begin alike.
    pub(crate) fn job(tokens: u32, request: Request) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let waits = Arc::new(Semaphore::new(1)).try_acquire_owned();
        let job = Job {
            request,
            prompt: (0..tokens).map(|place| 300 + place % 200).collect(),
            reply,
            since: Instant::now(),
            waits: waits.expect("a new semaphore has room"),
        };
        (job, answer)
    }

    fn begin(batch: &mut Batch<Model>, tokens: u32, request: Request) -> Answer {
        let (job, answer) = job(tokens, request);
        batch.begin(job, 0);
        answer
    }

    pub(crate) fn long() -> Request {
        Request {
            tokens_max: 300,
            ..Request::default()
        }
    }

    #[test]
    fn who_cancels_leaves_before_the_next_step() -> Result<()> {
        let mut batch = batch()?;
        let requests = [long(), long(), long()];
        let cancel = requests[1].cancel.clone();
        let mut answers = requests.map(|request| begin(&mut batch, 40, request));
        batch.step();
        assert_eq!(batch.running.len(), 3);

        cancel.cancel();
        batch.step();

        assert_eq!(batch.running.len(), 2);
        assert_eq!(answers[1].try_recv(), Ok(Err(Error::Cancelled)));
        drop(answers);
        batch.step();
        assert!(batch.running.is_empty());
        Ok(())
    }

    #[test]
    fn answers_whose_grammars_two_threads_ask_are_the_same_as_alone() -> Result<()> {
        let asked = |seed| Request {
            schema: Some(serde_json::json!({"type": "string", "maxLength": 30})),
            sampling: crate::sampler::Sampling {
                temperature: 0.9,
                seed,
                ..Default::default()
            },
            tokens_max: 40,
            ..Request::default()
        };
        let mut batch = batch()?;
        let mut write = |seeds: std::ops::Range<u64>| {
            let answers = seeds.map(|seed| begin(&mut batch, 40, asked(seed)));
            let mut answers: Vec<Answer> = answers.collect();
            while !batch.running.is_empty() {
                batch.step();
            }
            let texts = answers.iter_mut().map(Answer::try_recv);
            let texts = texts.map(|text| text.expect("it ended").map(|answer| answer.text));
            texts.collect::<Result<Vec<_>>>()
        };

        let alone = (0..8).map(|seed| write(seed..seed + 1));
        let right = alone.collect::<Result<Vec<_>>>()?.concat();
        let texts = write(0..8)?;

        assert_eq!(texts, right);
        assert!(right.iter().any(|text| *text != right[0]));
        Ok(())
    }

    #[test]
    fn a_beginning_is_computed_once() -> Result<()> {
        let mut batch = batch()?;
        let _first = begin(&mut batch, 200, long());
        while !batch.running[0].writer.is_answering() {
            batch.step();
        }
        let _second = begin(&mut batch, 210, long());

        batch.step();

        // Six whole pages of 32 are known, and the rest fits into a step.
        assert!(batch.running[1].writer.is_answering());
        let [global, _] = &batch.running[1].sequence.tables;
        let shared = |page: &&Arc<_>| Arc::strong_count(page) == 3;
        assert_eq!(global.pages.iter().filter(shared).count(), 6);
        Ok(())
    }

    #[test]
    fn others_are_read_slowly_beside_an_urgent_answer() -> Result<()> {
        let mut batch = batch()?;
        let urgent = Request {
            urgent: true,
            tokens_max: 2,
            ..Request::default()
        };
        let _usual = begin(&mut batch, 90, long());
        let mut counts = Vec::new();
        let mut step = |batch: &mut Batch<Model>| {
            counts.push(batch.counts());
            batch.step();
        };
        step(&mut batch);
        let _urgent = begin(&mut batch, 40, urgent);
        while batch.running.len() > 1 || !batch.running[0].writer.is_answering() {
            step(&mut batch);
        }

        // The urgent one is gone after its second token.
        assert_eq!(counts, [vec![64], vec![1, 40], vec![1, 1], vec![24]]);
        Ok(())
    }
}
