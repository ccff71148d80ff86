//! The way of some tokens through the layers.

use super::load::{Layer, Tensors};
use super::pages::{GLOBAL, Stored, WINDOWED};
use super::step::{Desk, Part};
use crate::config::Config;
use crate::error::Result;
use crate::kernels::attend::{Attend, PAGE};
use crate::kernels::machine::LANES;
use crate::kernels::multiply::{Wanted, multiply, stride};
use crate::kernels::norm::{Gate, Grouped, Join, Take, Turn, copy_head};
use crate::kernels::pool::Pool;
use crate::kernels::tile::TILE;
use crate::kernels::weights::Matrix;

/// Items of attention for every thread, before heads that share keys are computed apart.
const ITEMS_PER_THREAD: usize = 2;

/// What a pass reads and writes.
pub(crate) struct Pass<'a> {
    config: &'a Config,
    weights: &'a Tensors,
    pool: &'a mut Pool,
    desk: &'a mut Desk,
    epsilon: f32,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        config: &'a Config,
        weights: &'a Tensors,
        pool: &'a mut Pool,
        desk: &'a mut Desk,
    ) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a small constant of the model"
        )]
        let epsilon = config.epsilon as f32;
        Self {
            config,
            weights,
            pool,
            desk,
            epsilon,
        }
    }

    /// Computes the residuals of all tokens, and writes their keys and values.
    pub(crate) fn run(&mut self, parts: &mut [Part<'_>]) -> Result<()> {
        let weights = self.weights;
        let tokens = self.desk.places.len();
        let norms = weights
            .layers
            .iter()
            .map(|layer| layer.attention_norm.as_slice());
        let mut norms = norms.skip(1);
        let first = weights
            .layers
            .first()
            .map(|layer| layer.attention_norm.as_slice());
        self.join(None, first, tokens);
        for layer in &weights.layers {
            self.multiply(
                &[&layer.query, &layer.key, &layer.value],
                tokens,
                Wanted::Products,
            );
            self.turn(layer);
            self.write(layer, parts)?;
            if weights.forms.quantised {
                self.attend::<u16>(layer, parts);
            } else {
                self.attend::<f32>(layer, parts);
            }
            self.take();
            self.multiply(&[&layer.output], tokens, Wanted::Products);
            let next = Some(layer.feed_forward_norm.as_slice());
            self.join(Some(&layer.attention_norm_after), next, tokens);
            self.multiply(&[&layer.gate, &layer.up], tokens, Wanted::Gated);
            self.gate(tokens);
            self.multiply(&[&layer.down], tokens, Wanted::Products);
            self.join(Some(&layer.feed_forward_norm_after), norms.next(), tokens);
        }
        Ok(())
    }

    /// Computes the logits of the tokens on the desk, or roughly: what they are at most.
    pub(crate) fn logits(&mut self, tokens: usize, roughly: bool) {
        let weights = self.weights;
        self.join(None, Some(&weights.norm), tokens);
        if roughly {
            for tile in &mut self.desk.tiles {
                tile.input.bound();
            }
        }
        let wanted = if roughly {
            Wanted::Bounds
        } else {
            Wanted::Products
        };
        self.multiply(&[weights.head()], tokens, wanted);
    }

    fn multiply(&mut self, matrices: &[&Matrix], tokens: usize, wanted: Wanted) {
        let rooms = matrices.iter();
        let room = rooms.map(|matrix| Tensors::room(matrix.rows, tokens)).sum();
        let Desk { tiles, made, .. } = &mut *self.desk;
        if made.len() < room {
            made.resize(room, 0.0);
        }
        let made = &mut made[..room];
        multiply(self.pool, matrices, tiles, tokens, wanted, made);
    }

    /// Adds what a block made, of which `made` are the factors of its norm, and begins the next one.
    fn join(&mut self, made: Option<&[f32]>, next: Option<&[f32]>, tokens: usize) {
        let epsilon = self.epsilon;
        let Desk {
            tiles,
            made: values,
            ..
        } = &mut *self.desk;
        let stride = stride(tokens);
        let grouped = Grouped { values, stride };
        self.pool.split(tiles, 1, |_, tiles| {
            for tile in tiles {
                let made = made.map(|factors| (grouped, factors));
                Join {
                    tile,
                    made,
                    next,
                    epsilon,
                }
                .run();
            }
        });
    }

    /// Turns queries and keys to where they stand, and takes values as they are.
    fn turn(&mut self, layer: &Layer) {
        let (config, desk) = (self.config, &mut *self.desk);
        let (heads, kv_heads, width) = (config.heads, config.kv_heads, config.head_width);
        let tokens = desk.places.len();
        let made = Grouped {
            values: &desk.made,
            stride: stride(tokens),
        };
        let kind = if layer.windowed { WINDOWED } else { GLOBAL };
        let (angles, epsilon) = (&desk.angles[kind], self.epsilon);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a small constant of the model"
        )]
        let scale = config.query_scale as f32;
        let each = (heads + 2 * kv_heads) * width;
        desk.turned.resize(tokens * each, 0.0);
        self.pool
            .split(&mut desk.turned, TILE * each, |tile, turned| {
                for (place, turned) in turned.chunks_exact_mut(each).enumerate() {
                    let token = tile * TILE + place;
                    for (head, out) in turned.chunks_exact_mut(width).enumerate() {
                        let group = head * (width / LANES);
                        let (factors, scale) = if head < heads {
                            (&layer.query_norm, scale)
                        } else if head < heads + kv_heads {
                            (&layer.key_norm, 1.0)
                        } else {
                            copy_head(made, token, group, out);
                            continue;
                        };
                        Turn {
                            made,
                            token,
                            group,
                            factors,
                            angles: &angles[token * width..(token + 1) * width],
                            epsilon,
                            scale,
                            out,
                        }
                        .run();
                    }
                }
            });
    }

    /// Writes keys and values into the pages.
    fn write(&self, layer: &Layer, parts: &mut [Part<'_>]) -> Result<()> {
        let (config, desk) = (self.config, &*self.desk);
        let (heads, kv_heads, width) = (config.heads, config.kv_heads, config.head_width);
        let kind = if layer.windowed { WINDOWED } else { GLOBAL };
        let each = (heads + 2 * kv_heads) * width;
        for (place, turned) in desk.places.iter().zip(desk.turned.chunks_exact(each)) {
            let table = &mut parts[place.part].sequence.tables[kind];
            let page = table.own(place.position / PAGE)?;
            let (own_keys, own_values) = turned[heads * width..].split_at(kv_heads * width);
            for head in 0..kv_heads {
                let (keys, values) = rows(layer, kv_heads, head, width);
                let (row, own) = (place.position % PAGE, head * width..(head + 1) * width);
                page.write(keys + row, PAGE, &own_keys[own.clone()]);
                page.write(values + row * width, 1, &own_values[own]);
            }
        }
        Ok(())
    }

    fn attend<E: Stored>(&mut self, layer: &Layer, parts: &[Part<'_>]) {
        let (config, desk) = (self.config, &mut *self.desk);
        let (heads, kv_heads, width) = (config.heads, config.kv_heads, config.head_width);
        let tokens = desk.places.len();
        let (kind, window) = if layer.windowed {
            (WINDOWED, config.window)
        } else {
            (GLOBAL, usize::MAX)
        };
        let sharing = heads / kv_heads;
        let few = match self.pool.threads() {
            1 => false,
            threads => tokens * kv_heads < ITEMS_PER_THREAD * threads,
        };
        let together = match (few, sharing.is_multiple_of(2)) {
            (false, _) => sharing,
            (true, true) => sharing / 2,
            (true, false) => 1,
        };
        let per_token = heads / together;
        let (places, turned) = (&desk.places, &desk.turned);
        let each = (heads + 2 * kv_heads) * width;
        desk.mixed.resize(tokens * heads * width, 0.0);
        self.pool
            .split(&mut desk.mixed, together * width, |item, out| {
                let (token, head) = (item / per_token, item % per_token * together);
                let place = &places[token];
                let table = &parts[place.part].sequence.tables[kind];
                let (keys, values) = rows(layer, kv_heads, head / sharing, width);
                let page = |number: usize| {
                    let (numbers, size) = (E::of(table.page(number)), PAGE * width);
                    (&numbers[keys..keys + size], &numbers[values..values + size])
                };
                let queries = &turned[token * each + head * width..][..together * width];
                let to = place.position + 1;
                let from = to.saturating_sub(window);
                Attend {
                    queries,
                    page: &page,
                    width,
                    from,
                    to,
                    out,
                }
                .run();
            });
    }

    /// Makes the input of the output matrix.
    fn take(&mut self) {
        let width = self.config.heads * self.config.head_width;
        let Desk {
            tiles, mixed: rows, ..
        } = &mut *self.desk;
        self.pool.split(tiles, 1, |_, tiles| {
            for tile in tiles {
                Take { tile, rows, width }.run();
            }
        });
    }

    fn gate(&mut self, tokens: usize) {
        let width = self.config.feed_forward;
        let Desk {
            tiles,
            made: values,
            ..
        } = &mut *self.desk;
        let stride = stride(tokens);
        let made = Grouped { values, stride };
        self.pool.split(tiles, 1, |_, tiles| {
            for tile in tiles {
                Gate { tile, made, width }.run();
            }
        });
    }
}

/// Where the keys and the values of a head begin on a page.
fn rows(layer: &Layer, kv_heads: usize, head: usize, width: usize) -> (usize, usize) {
    let keys = (layer.index * kv_heads + head) * 2 * PAGE * width;
    (keys, keys + PAGE * width)
}
