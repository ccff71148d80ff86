//! Beginnings of prompts that were computed before, for whoever begins alike.
//!
//! A page is known by its tokens and by the page before it. Pages that are whole are never written
//! again, so sequences read the same ones; of one that goes on otherwise they copy what is alike.

use std::collections::HashMap;
use std::sync::Arc;

use super::pages::{GLOBAL, Page, Pages, Sequence, WINDOWED};
use crate::kernels::attend::PAGE;

/// Memory for pages that no sequence may need any more.
const BYTES_MAX: usize = 64 << 20;

/// The pages of beginnings, each with what it follows on.
pub(crate) struct Prefixes {
    known: HashMap<Key, Known>,
    pages_max: usize,
    /// The last number that was given to a page, and the last time that one was used.
    number: u64,
    time: u64,
}

/// The page before, 0 at the beginning, and the tokens.
type Key = (u64, [u32; PAGE]);

struct Known {
    number: u64,
    pages: [Arc<Page>; 2],
    used: u64,
}

/// How far a sequence is known.
#[derive(Clone, Copy, Default)]
pub(crate) struct Followed {
    pages: usize,
    last: u64,
}

impl Prefixes {
    pub(crate) fn new(pages: &Pages) -> Self {
        Self {
            known: HashMap::new(),
            pages_max: BYTES_MAX / pages.bytes().iter().sum::<usize>().max(1),
            number: 0,
            time: 0,
        }
    }

    /// Lets a sequence begin with what is known of its tokens, but for the last one, whose logits
    /// are wanted; returns how many it need not compute.
    pub(crate) fn reuse(
        &mut self,
        pages: &mut Pages,
        sequence: &mut Sequence,
        tokens: &[u32],
    ) -> usize {
        let before = sequence.length;
        self.time += 1;
        while sequence.length == sequence.followed.pages * PAGE {
            let rest = tokens.get(sequence.length..).unwrap_or_default();
            let Some(next) = rest.first_chunk().filter(|_| rest.len() > PAGE) else {
                break;
            };
            let Some(known) = self.known.get_mut(&(sequence.followed.last, *next)) else {
                break;
            };
            known.used = self.time;
            sequence.followed.last = known.number;
            sequence.followed.pages += 1;
            for kind in [GLOBAL, WINDOWED] {
                let page = known.pages[kind].clone();
                sequence.tables[kind].pages.push_back(page);
            }
            pages.advance(sequence, PAGE);
        }
        self.reuse_part(pages, sequence, tokens);
        sequence.length - before
    }

    /// Copies the page that goes on like a sequence for longest, as far as it does.
    fn reuse_part(&mut self, pages: &mut Pages, sequence: &mut Sequence, tokens: &[u32]) {
        let Followed { pages: whole, last } = sequence.followed;
        let rest = tokens.get(sequence.length..).unwrap_or_default();
        let Some((_, rest)) = rest
            .split_last()
            .filter(|_| sequence.length == whole * PAGE)
        else {
            return;
        };
        let followers = self
            .known
            .iter_mut()
            .filter(|((before, _), _)| *before == last);
        let parts = followers.map(|((_, tokens), known)| {
            let pairs = tokens.iter().zip(rest);
            (
                pairs.take_while(|(known, token)| known == token).count(),
                known,
            )
        });
        let Some((count, known)) = parts
            .max_by_key(|(count, _)| *count)
            .filter(|(count, _)| *count > 0)
        else {
            return;
        };
        known.used = self.time;
        pages.extend(sequence, count);
        for (table, known) in sequence.tables.iter_mut().zip(&known.pages) {
            let own = table.pages.back_mut().and_then(Arc::get_mut);
            own.expect("a page that was just made").copy(known);
        }
        pages.advance(sequence, count);
    }

    /// Remembers the whole pages of a prompt, as far as it is computed.
    pub(crate) fn keep(&mut self, pages: &mut Pages, sequence: &mut Sequence, prompt: &[u32]) {
        let computed = &prompt[..prompt.len().min(sequence.length)];
        let whole = computed.as_chunks().0;
        for (page, tokens) in whole.iter().enumerate().skip(sequence.followed.pages) {
            let [global, windowed] = &sequence.tables;
            let Some(both) = global.find(page).zip(windowed.find(page)) else {
                // A window that is narrower than a step has let it go already.
                return;
            };
            let both = [both.0.clone(), both.1.clone()];
            let key = (sequence.followed.last, *tokens);
            sequence.followed.last = self.insert(pages, key, both);
            sequence.followed.pages = page + 1;
        }
    }

    fn insert(&mut self, pages: &mut Pages, key: Key, both: [Arc<Page>; 2]) -> u64 {
        if let Some(known) = self.known.get(&key) {
            return known.number;
        }
        if self.known.len() >= self.pages_max {
            // Of a chain that is not used any more the end goes first.
            let oldest = self.known.iter();
            let oldest = oldest.min_by_key(|(_, known)| (known.used, u64::MAX - known.number));
            let oldest = oldest.map(|(key, _)| *key);
            if let Some(known) = oldest.and_then(|key| self.known.remove(&key)) {
                pages.take_back(known.pages);
            }
        }
        self.number += 1;
        let known = Known {
            number: self.number,
            pages: both,
            used: self.time,
        };
        self.known.insert(key, known);
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::batch;
    use crate::cpu::{Model, Part};
    use crate::error::Result;
    use crate::network::Network;

    /// Goes on with a prompt, and remembers it for others; returns the logits after its last token.
    fn read(model: &mut Model, mut sequence: Sequence, prompt: &[u32]) -> Result<Vec<f32>> {
        let mut row = Vec::new();
        while sequence.length < prompt.len() {
            let end = prompt.len().min(sequence.length / PAGE * PAGE + PAGE);
            let part = Part {
                ids: &prompt[sequence.length..end],
                sequence: &mut sequence,
                wanted: 1,
            };
            model.step(&mut [part])?.row(0).copy_to(&mut row);
            model.keep(&mut sequence, prompt);
        }
        Ok(row)
    }

    #[test]
    fn the_part_of_a_page_that_is_alike_is_not_computed_again() -> Result<()> {
        let model = &mut batch()?.network;
        let first: Vec<u32> = (300..400).collect();
        let mut second = first.clone();
        second[45..].reverse();
        let right = read(&mut batch()?.network, Sequence::default(), &second)?;
        let before = read(model, Sequence::default(), &first)?;

        let mut sequence = Sequence::default();
        assert_eq!(model.reuse(&mut sequence, &second), 45);
        assert!(read(model, sequence, &second)? == right);

        // Neither drove the other away; the last tokens are on no whole page.
        for (tokens, right) in [(&first, before), (&second, right)] {
            let mut sequence = Sequence::default();
            assert_eq!(model.reuse(&mut sequence, tokens), 96);
            assert!(read(model, sequence, tokens)? == right);
        }
        // The last token is computed, as its logits are wanted.
        assert_eq!(model.reuse(&mut Sequence::default(), &first[..64]), 63);
        Ok(())
    }
}
