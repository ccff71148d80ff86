//! One step: some tokens of some sequences, through all layers.

use super::load::{Model, Tensors};
use super::pages::Sequence;
use super::pass::Pass;
use crate::error::{Error, Result};
use crate::kernels::machine::LANES;
use crate::kernels::norm::Grouped;
use crate::kernels::tile::{TILE, Tile, cut};

/// What one sequence takes part in a step with.
pub struct Part<'a> {
    /// Tokens that follow on those of the sequence.
    pub ids: &'a [u32],
    /// The sequence; it is longer by the tokens afterwards.
    pub sequence: &'a mut Sequence,
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
    pub(crate) queries: Vec<f32>,
    pub(crate) mixed: Vec<f32>,
    pub(crate) head: Vec<f32>,
    wanted: Vec<Tile>,
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
    vocabulary: usize,
}

impl<'a> Logits<'a> {
    /// Positions.
    pub fn rows(&self) -> usize {
        self.values.tokens
    }

    /// The logits of one position, in the order of the tokens' ids.
    pub fn row(&self, row: usize) -> impl Iterator<Item = f32> + use<'a> {
        let eights = self.values.values.as_chunks::<LANES>().0.iter();
        let own = eights.skip(row).step_by(self.values.tokens.max(1));
        own.flatten().copied().take(self.vocabulary)
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
        for part in parts.iter_mut() {
            self.pages.advance(part.sequence, part.ids.len());
        }
        self.finish(parts)
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
        for part in parts.iter_mut() {
            self.pages.extend(part.sequence, part.ids.len());
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
            weights.embedding.look_up(*id as usize, row)?;
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
    fn finish(&mut self, parts: &[Part<'_>]) -> Result<Logits<'_>> {
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
        std::mem::swap(&mut desk.tiles, &mut desk.wanted);
        let mut pass = Pass::new(&self.config, &self.weights, &mut self.pool, desk);
        pass.logits(wanted.len())?;
        let desk = &mut self.desk;
        std::mem::swap(&mut desk.tiles, &mut desk.wanted);
        let vocabulary = self.weights.embedding.rows;
        Ok(Logits {
            values: Grouped {
                values: &desk.made[..Tensors::room(vocabulary, wanted.len())],
                tokens: wanted.len(),
            },
            vocabulary,
        })
    }
}

impl Tensors {
    /// Numbers that a product with so many rows has for so many tokens.
    pub(crate) fn room(rows: usize, tokens: usize) -> usize {
        rows.next_multiple_of(LANES) * tokens
    }
}
