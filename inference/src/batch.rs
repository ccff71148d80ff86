//! Answers that are written together: they come and go between two steps of the model.
//!
//! A step has at most [`STEP_TOKENS`] tokens: one of every answer, and pieces of the prompts that
//! are still read, the oldest first. So a prompt that comes in holds nobody up for long.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

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
/// Nobody else is begun beside an urgent answer, which would delay it by a tenth, but who waited so long.
const BESIDE_URGENT_WAIT: Duration = Duration::from_secs(10);
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
    /// Held as long as its lane has to do with it.
    pub(crate) held: Arc<()>,
}

/// A model with the answers that it writes now.
pub(crate) struct Batch<N: Network> {
    pub(crate) network: N,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) grammars: Grammars,
    pub(crate) places: usize,
    /// Bytes for the past of all answers together; one alone may have more.
    pub(crate) past_bytes_max: usize,
    pub(crate) waiting: VecDeque<Job>,
    pub(crate) running: Vec<Place<N::Sequence>>,
}

/// An answer that is being written.
pub(crate) struct Place<S> {
    writer: Writer,
    sequence: S,
    reply: oneshot::Sender<Result<Generation>>,
    urgent: bool,
    /// What its past takes at most.
    bytes: usize,
    _held: Arc<()>,
}

impl<N: Network> Batch<N> {
    /// Works until nobody can send any more requests.
    pub(crate) fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        loop {
            if self.running.is_empty() && self.waiting.is_empty() {
                let Some(job) = jobs.blocking_recv() else {
                    return;
                };
                self.waiting.push_back(job);
            }
            while let Ok(job) = jobs.try_recv() {
                self.waiting.push_back(job);
            }
            self.admit();
            self.step();
        }
    }

    /// Begins answers as far as there are places and memory.
    fn admit(&mut self) {
        self.waiting
            .retain(|job| !job.request.cancel.is_cancelled() && !job.reply.is_closed());
        loop {
            let urgent = self.waiting.iter().position(|job| job.request.urgent);
            let next = urgent.unwrap_or(0);
            let Some(job) = self.waiting.get(next) else {
                return;
            };
            let beside = urgent.is_none() && self.is_urgent();
            let waits = beside && job.since.elapsed() < BESIDE_URGENT_WAIT;
            if waits || self.running.len() >= self.places {
                return;
            }
            let tokens = job.prompt.len() + job.request.tokens_max;
            let bytes = self.network.past_bytes(tokens);
            let used: usize = self.running.iter().map(|place| place.bytes).sum();
            if !self.running.is_empty() && used + bytes > self.past_bytes_max {
                return;
            }
            let Some(Job {
                request,
                prompt,
                reply,
                waits,
                held,
                since: _,
            }) = self.waiting.remove(next)
            else {
                return;
            };
            drop(waits);
            let urgent = request.urgent;
            let writer = Writer::new(request, prompt, &self.tokenizer, &mut self.grammars);
            match writer {
                Ok(writer) => self.running.push(Place {
                    writer,
                    sequence: N::Sequence::default(),
                    reply,
                    urgent,
                    bytes,
                    _held: held,
                }),
                // Nobody listens any more: they cancelled.
                Err(error) => drop(reply.send(Err(error))),
            }
        }
    }

    /// Does anybody look on?
    fn is_urgent(&self) -> bool {
        self.running.iter().any(|place| place.urgent)
    }

    /// One step of all answers, and the end of those that are done.
    fn step(&mut self) {
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
        let answering = |place: &Place<_>| usize::from(place.writer.is_answering());
        let mut counts: Vec<usize> = self.running.iter().map(answering).collect();
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
        let gone = |place: &mut Place<_>| {
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
mod tests {
    use candle_core::quantized::GgmlDType;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::cpu::Model;
    use crate::random::{Shape, write_gguf};

    const PLACES: usize = 3;

    fn batch() -> Result<Batch<Model>> {
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
            places: PLACES,
            past_bytes_max: usize::MAX,
            waiting: VecDeque::new(),
            running: Vec::new(),
        })
    }

    type Answer = oneshot::Receiver<Result<Generation>>;

    /// A request with a prompt of so many tokens, which all begin alike.
    fn ask(batch: &mut Batch<Model>, tokens: u32, request: Request) -> Answer {
        let (reply, answer) = oneshot::channel();
        let waits = Arc::new(Semaphore::new(1)).try_acquire_owned();
        batch.waiting.push_back(Job {
            request,
            prompt: (0..tokens).map(|place| 300 + place % 200).collect(),
            reply,
            since: Instant::now(),
            waits: waits.expect("a new semaphore has room"),
            held: Arc::default(),
        });
        answer
    }

    fn long() -> Request {
        Request {
            tokens_max: 300,
            ..Request::default()
        }
    }

    #[test]
    fn who_cancels_leaves_before_the_next_step_and_the_next_one_comes() -> Result<()> {
        let mut batch = batch()?;
        let requests = [long(), long(), long(), long()];
        let cancel = requests[1].cancel.clone();
        let mut answers = requests.map(|request| ask(&mut batch, 40, request));
        batch.admit();
        batch.step();
        assert_eq!((batch.running.len(), batch.waiting.len()), (PLACES, 1));

        cancel.cancel();
        batch.step();
        assert_eq!(batch.running.len(), PLACES - 1);
        assert_eq!(answers[1].try_recv(), Ok(Err(Error::Cancelled)));
        drop(answers);
        batch.step();

        assert!(batch.running.is_empty());
        batch.admit();
        assert!(batch.waiting.is_empty() && batch.running.is_empty());
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
        let write = |batch: &mut Batch<Model>, mut answers: Vec<Answer>| {
            batch.admit();
            while !batch.running.is_empty() {
                batch.step();
                batch.admit();
            }
            let texts = answers.iter_mut().map(Answer::try_recv);
            let texts = texts.map(|text| text.expect("it ended").map(|answer| answer.text));
            texts.collect::<Result<Vec<_>>>()
        };
        let (mut alone, mut together) = (batch()?, batch()?);
        alone.places = 1;
        together.places = 8;

        let [right, texts] = [&mut alone, &mut together].map(|batch| {
            let answers = (0..8).map(|seed| ask(batch, 40, asked(seed))).collect();
            write(batch, answers)
        });

        let (right, texts) = (right?, texts?);
        assert_eq!(texts, right);
        assert!(right.iter().any(|text| *text != right[0]));
        Ok(())
    }

    #[test]
    fn a_beginning_is_computed_once() -> Result<()> {
        let mut batch = batch()?;
        let _first = ask(&mut batch, 200, long());
        batch.admit();
        while !batch.running[0].writer.is_answering() {
            batch.step();
        }
        let _second = ask(&mut batch, 210, long());
        batch.admit();

        batch.step();

        // Six whole pages of 32 are known, and the rest fits into a step.
        assert!(batch.running[1].writer.is_answering());
        let [global, _] = &batch.running[1].sequence.tables;
        let shared = |page: &&Arc<_>| Arc::strong_count(page) == 3;
        assert_eq!(global.pages.iter().filter(shared).count(), 6);
        Ok(())
    }

    #[test]
    fn memory_bounds_who_is_admitted_but_one_always_is() -> Result<()> {
        let mut batch = batch()?;
        let needed = batch.network.past_bytes(340);
        let mut answers = Vec::new();
        for (bytes, admitted) in [(0, 1), (2 * needed - 1, 1), (2 * needed, 2)] {
            batch.past_bytes_max = bytes;
            answers.extend([(); 3].map(|()| ask(&mut batch, 40, long())));

            batch.admit();

            assert_eq!(batch.running.len(), admitted);
            answers.clear();
            batch.step();
        }
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
        let _usual = ask(&mut batch, 90, long());
        let mut counts = Vec::new();
        let mut step = |batch: &mut Batch<Model>| {
            batch.admit();
            counts.push(batch.counts());
            batch.step();
        };
        step(&mut batch);
        let _urgent = ask(&mut batch, 40, urgent);
        while batch.running.len() > 1 || !batch.running[0].writer.is_answering() {
            step(&mut batch);
        }

        // The urgent one is gone after its second token.
        assert_eq!(counts, [vec![64], vec![1, 40], vec![1, 1], vec![24]]);
        Ok(())
    }

    #[test]
    fn nobody_is_begun_beside_an_urgent_answer_unless_they_waited_long() -> Result<()> {
        let mut batch = batch()?;
        batch.places = 8;
        let urgent = Request {
            urgent: true,
            ..long()
        };
        let first = ask(&mut batch, 40, urgent.clone());
        let _others = [(); 3].map(|()| ask(&mut batch, 40, long()));

        batch.admit();
        assert_eq!(batch.running.len(), 1);
        let second = ask(&mut batch, 40, urgent);
        batch.admit();
        assert_eq!(batch.running.len(), 2);
        let earlier = Instant::now().checked_sub(BESIDE_URGENT_WAIT);
        batch.waiting[0].since = earlier.expect("the system began long ago");
        batch.admit();
        assert_eq!(batch.running.len(), 3);

        drop((first, second));
        batch.step();
        batch.admit();
        assert_eq!(batch.running.len(), 3);
        assert!(batch.waiting.is_empty());
        Ok(())
    }

    #[test]
    fn urgent_requests_go_first() -> Result<()> {
        let mut batch = batch()?;
        batch.places = 1;
        let urgent = Request {
            urgent: true,
            tokens_max: 1,
            ..Request::default()
        };
        let mut usual = ask(&mut batch, 40, long());
        let mut urgent = ask(&mut batch, 40, urgent);

        batch.admit();
        batch.step();
        batch.step();

        assert!(urgent.try_recv().is_ok());
        assert!(usual.try_recv().is_err());
        Ok(())
    }
}
