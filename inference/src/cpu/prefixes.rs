//! Beginnings of prompts that were computed before, for whoever begins alike.
//!
//! A page is known by its tokens and by the page before it. Pages that are whole are never written
//! again, so sequences read the same ones.

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
#[derive(Default)]
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
        sequence.length - before
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
