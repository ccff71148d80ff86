//! One step: some tokens of some sequences, through all layers.

use super::load::{Memory, Model, Tensors};
use super::pages::Sequence;
use super::pass::Pass;
use super::rough::Rough;
use crate::error::{Error, Result};
use crate::kernels::machine::LANES;
use crate::kernels::multiply::stride;
use crate::kernels::norm::Grouped;
use crate::kernels::planes::Planes;
use crate::kernels::tile::{TILE, Tile, cut};
use crate::kernels::weights::Form;
use crate::network::Network;

/// What one sequence takes part in a step with.
pub struct Part<'a, S = Sequence> {
    /// Tokens that follow on those of the sequence.
    pub ids: &'a [u32],
    /// The sequence; it is longer by the tokens afterwards.
    pub sequence: &'a mut S,
    /// Logits are wanted of so many of the tokens, from the last backwards.
    pub wanted: usize,
}

/// What the step writes on; it keeps its memory from step to step.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) tiles: Vec<Tile>,
    pub(crate) places: Vec<Place>,
    /// Cosines and sines of every token, for layers of either kind.
    pub(crate) angles: [Vec<f32>; 2],
    pub(crate) made: Vec<f32>,
    /// Queries, keys and values of every token, head by head.
    pub(crate) turned: Vec<f32>,
    pub(crate) mixed: Vec<f32>,
    wanted: Vec<Tile>,
    /// Tokens of the last step whose logits are in `made`.
    rows: usize,
}

/// Where a token stands.
pub(crate) struct Place {
    pub(crate) part: usize,
    pub(crate) position: usize,
}

/// The logits that a step was asked for, in the order of its parts and their tokens.
#[derive(Clone, Copy)]
pub struct Logits<'a> {
    values: Grouped<'a>,
    rows: usize,
    vocabulary: usize,
    /// How to make them exact if they are rough; what the tiles hold is the rows' tokens.
    rough: Option<(&'a Rough, &'a Planes, &'a [Tile])>,
}

/// The logits after one token, in the order of the tokens' ids.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    logits: Logits<'a>,
    row: usize,
}

impl<'a> Logits<'a> {
    /// Positions.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The logits of one position.
    pub fn row(&self, row: usize) -> Row<'a> {
        let logits = *self;
        Row { logits, row }
    }
}

impl<'a> Row<'a> {
    /// Logits that stand one after the other; there are eight at a time, of which the last ones
    /// need not be in the vocabulary.
    pub(crate) fn alone(values: &'a [f32], vocabulary: usize) -> Self {
        let values = Grouped { values, stride: 1 };
        let logits = Logits {
            values,
            rows: 1,
            vocabulary,
            rough: None,
        };
        logits.row(0)
    }

    /// Replaces what is in `out`.
    pub fn copy_to(&self, out: &mut Vec<f32>) {
        self.copy_bounds_to(out);
        if !self.is_rough() {
            return;
        }
        let mut rows: Vec<_> = (0..).zip(out.iter_mut()).collect();
        self.refine(&mut rows, |(id, logit)| (*id, logit));
    }

    /// Replaces what is in `out` by what the logits are at most, which is often what they are.
    pub(crate) fn copy_bounds_to(&self, out: &mut Vec<f32>) {
        let Logits {
            values, vocabulary, ..
        } = self.logits;
        let eights = values.values.as_chunks::<LANES>().0.iter();
        let eights = eights.skip(self.row).step_by(values.stride.max(1));
        out.resize(vocabulary.next_multiple_of(LANES), 0.0);
        for (out, eight) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(eights) {
            *out = *eight;
        }
        out.truncate(vocabulary);
    }

    /// May bounds be more than the logits?
    pub(crate) fn is_rough(&self) -> bool {
        self.logits.rough.is_some()
    }

    /// Makes bounds logits: of every item the id of its token and the place for the number.
    pub(crate) fn refine<T>(&self, items: &mut [T], parts: impl Fn(&mut T) -> (u32, &mut f32)) {
        if let Some((rough, planes, tiles)) = self.logits.rough {
            rough.refined(items.len());
            let input = tiles[self.row / TILE].input.only(self.row % TILE);
            planes.refine(&input, items, parts);
        }
    }
}

impl Model {
    /// Computes the tokens of all parts.
    ///
    /// What comes out for a token depends on its sequence alone: not on the other parts, nor on how
    /// the tokens before it were cut into steps.
    ///
    /// # Errors
    /// [`Error::TooLong`] when a sequence would have more than [`Self::positions`], before any work.
    pub fn step(&mut self, parts: &mut [Part<'_>]) -> Result<Logits<'_>> {
        self.place(parts)?;
        self.begin(parts)?;
        let weights = &self.weights;
        let mut pass = Pass::new(&self.config, weights, &mut self.pool, &mut self.desk);
        pass.run(parts)?;
        let mut memory = self.memory();
        for part in parts.iter_mut() {
            memory.pages.advance(part.sequence, part.ids.len());
        }
        drop(memory);
        Ok(self.finish(parts))
    }

    /// Makes room for the tokens.
    fn place(&mut self, parts: &mut [Part<'_>]) -> Result<()> {
        let places = &mut self.desk.places;
        places.clear();
        for (part, Part { ids, sequence, .. }) in parts.iter_mut().enumerate() {
            let tokens = sequence.length + ids.len();
            if tokens > self.positions {
                let context = self.positions;
                return Err(Error::TooLong { tokens, context });
            }
            places.extend((sequence.length..tokens).map(|position| Place { part, position }));
        }
        let mut memory = self.memory();
        for part in parts.iter_mut() {
            memory.pages.extend(part.sequence, part.ids.len());
        }
        Ok(())
    }

    /// Looks the tokens up and turns their positions into angles.
    fn begin(&mut self, parts: &[Part<'_>]) -> Result<()> {
        let (desk, weights) = (&mut self.desk, &self.weights);
        let hidden = self.config.hidden;
        cut(&mut desk.tiles, desk.places.len(), hidden, weights.forms);
        #[expect(clippy::cast_precision_loss, reason = "widths are below 2^24")]
        let scale = (hidden as f32).sqrt();
        let ids = parts.iter().flat_map(|part| part.ids);
        for (place, id) in ids.enumerate() {
            let (tile, row) = (place / TILE, place % TILE);
            let row = &mut desk.tiles[tile].residual[row * hidden..(row + 1) * hidden];
            if *id as usize >= weights.embedding.rows {
                return Err(Error::Engine(format!("there is no token {id}")));
            }
            weights.embedding.look_up(*id as usize, row);
            for x in row {
                *x *= scale;
            }
        }
        let kinds = [&weights.frequencies_global, &weights.frequencies_windowed];
        for (angles, frequencies) in desk.angles.iter_mut().zip(kinds) {
            angles.clear();
            for place in &desk.places {
                #[expect(clippy::cast_precision_loss, reason = "positions are below 2^24")]
                let position = place.position as f32;
                angles.extend(
                    frequencies
                        .iter()
                        .map(|frequency| (position * frequency).cos()),
                );
                angles.extend(
                    frequencies
                        .iter()
                        .map(|frequency| (position * frequency).sin()),
                );
            }
        }
        Ok(())
    }

    /// Computes the logits that are wanted.
    fn finish(&mut self, parts: &[Part<'_>]) -> Logits<'_> {
        let (desk, hidden) = (&mut self.desk, self.config.hidden);
        let mut end = 0;
        let wanted: Vec<usize> = parts
            .iter()
            .flat_map(|part| {
                end += part.ids.len();
                end - part.wanted.min(part.ids.len())..end
            })
            .collect();
        cut(&mut desk.wanted, wanted.len(), hidden, self.weights.forms);
        for (to, from) in wanted.iter().enumerate() {
            let from = &desk.tiles[from / TILE].residual[from % TILE * hidden..][..hidden];
            desk.wanted[to / TILE].residual[to % TILE * hidden..][..hidden].copy_from_slice(from);
        }
        let roughly = self.rough.decide(self.weights.head(), wanted.len());
        std::mem::swap(&mut desk.tiles, &mut desk.wanted);
        let mut pass = Pass::new(&self.config, &self.weights, &mut self.pool, desk);
        pass.logits(wanted.len(), roughly);
        std::mem::swap(&mut self.desk.tiles, &mut self.desk.wanted);
        self.desk.rows = wanted.len();
        self.desk.logits(&self.weights, &self.rough)
    }
}

impl Desk {
    /// The logits of the last step.
    fn logits<'a>(&'a self, weights: &'a Tensors, rough: &'a Rough) -> Logits<'a> {
        let vocabulary = weights.embedding.rows;
        let values = &self.made[..Tensors::room(vocabulary, self.rows)];
        let rows = self.rows;
        let stride = stride(rows);
        Logits {
            values: Grouped { values, stride },
            rows,
            vocabulary,
            rough: match &weights.head().form {
                Form::Planes(planes) if rough.is_on() => Some((rough, planes, &self.wanted)),
                _ => None,
            },
        }
    }
}

impl Network for Model {
    type Sequence = Sequence;

    fn past_bytes(&self, tokens: usize) -> usize {
        self.memory().pages.bytes_most(tokens)
    }

    fn reuse(&mut self, sequence: &mut Sequence, tokens: &[u32]) -> usize {
        let Memory { pages, prefixes } = &mut *self.memory();
        prefixes.reuse(pages, sequence, tokens)
    }

    fn keep(&mut self, sequence: &mut Sequence, prompt: &[u32]) {
        let Memory { pages, prefixes } = &mut *self.memory();
        prefixes.keep(pages, sequence, prompt);
    }

    fn compute(&mut self, parts: &mut [Part<'_>]) -> Result<()> {
        self.step(parts).map(drop)
    }

    fn threads(&self) -> usize {
        self.pool.threads()
    }

    fn hand_out<T: Send>(
        &mut self,
        to: &mut [T],
        work: impl for<'a> Fn(&mut T, &dyn Fn(usize) -> Row<'a>) + Sync,
    ) {
        let logits = self.desk.logits(&self.weights, &self.rough);
        let pool = &mut self.pool;
        pool.split(to, 1, |_, to| {
            for to in to {
                work(to, &|row| logits.row(row));
            }
        });
    }

    fn end(&mut self, sequence: &mut Sequence) {
        self.memory().pages.end(sequence);
    }
}

impl Tensors {
    /// Numbers that a product with so many rows has for so many tokens.
    pub(crate) fn room(rows: usize, tokens: usize) -> usize {
        rows.next_multiple_of(LANES) * stride(tokens)
    }
}
