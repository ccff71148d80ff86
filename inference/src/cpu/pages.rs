//! Keys and values, in pages that sequences share where they begin alike.

use std::collections::VecDeque;
use std::sync::Arc;

use super::prefixes::Followed;
use crate::batch::STEP_TOKENS;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::kernels::attend::{Element, PAGE};

/// Tensors that see everything, and layers that see a window, have pages of their own.
pub(crate) const GLOBAL: usize = 0;
pub(crate) const WINDOWED: usize = 1;

/// Keys and values of [`PAGE`] positions in all layers of a kind.
pub(crate) struct Page(Numbers);

enum Numbers {
    Full(Vec<f32>),
    Half(Vec<u16>),
}

/// What a cache holds numbers as.
pub(crate) trait Stored: Element {
    fn of(page: &Page) -> &[Self];
}

impl Stored for f32 {
    fn of(page: &Page) -> &[Self] {
        match &page.0 {
            Numbers::Full(numbers) => numbers,
            Numbers::Half(_) => &[],
        }
    }
}

impl Stored for u16 {
    fn of(page: &Page) -> &[Self] {
        match &page.0 {
            Numbers::Half(numbers) => numbers,
            Numbers::Full(_) => &[],
        }
    }
}

impl Page {
    /// Becomes the same as another of its kind.
    pub(crate) fn copy(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (Numbers::Full(page), Numbers::Full(other)) => page.copy_from_slice(other),
            (Numbers::Half(page), Numbers::Half(other)) => page.copy_from_slice(other),
            _ => {}
        }
    }

    /// Writes numbers at every `step`-th place from `start` on.
    pub(crate) fn write(&mut self, start: usize, step: usize, numbers: &[f32]) {
        match &mut self.0 {
            Numbers::Full(page) => Element::store(numbers, &mut page[start..], step),
            Numbers::Half(page) => Element::store(numbers, &mut page[start..], step),
        }
    }
}

/// One sequence: how long it is, and where its keys and values are.
#[derive(Default)]
pub struct Sequence {
    pub(crate) length: usize,
    pub(crate) tables: [Table; 2],
    /// How much of its beginning others may know too.
    pub(crate) followed: Followed,
}

impl Sequence {
    /// Positions that were computed.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// The pages of a kind, from the first that is still seen.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) first: usize,
    pub(crate) pages: VecDeque<Arc<Page>>,
}

impl Table {
    pub(crate) fn page(&self, number: usize) -> &Arc<Page> {
        &self.pages[number - self.first]
    }

    /// A page, unless it was let go.
    pub(crate) fn find(&self, number: usize) -> Option<&Arc<Page>> {
        self.pages.get(number.checked_sub(self.first)?)
    }

    /// A page to write on.
    pub(crate) fn own(&mut self, number: usize) -> Result<&mut Page> {
        Arc::get_mut(&mut self.pages[number - self.first])
            .ok_or_else(|| Error::Engine("a page that others read is to be written".into()))
    }
}

/// Makes pages, and keeps those that are free for whoever needs one next.
pub(crate) struct Pages {
    /// Numbers on a page of each kind.
    numbers: [usize; 2],
    half: bool,
    window: usize,
    free: [Vec<Arc<Page>>; 2],
    made: [usize; 2],
}

impl Pages {
    /// Pages in half precision, unless the weights are more precise than that.
    pub(crate) fn new(config: &Config, half: bool) -> Self {
        let windowed = config.windowed.iter().filter(|windowed| **windowed).count();
        let layer = 2 * config.kv_heads * config.head_width * PAGE;
        Self {
            numbers: [(config.windowed.len() - windowed) * layer, windowed * layer],
            half,
            window: config.window,
            free: [Vec::new(), Vec::new()],
            made: [0, 0],
        }
    }

    /// Bytes of a page of each kind.
    pub(crate) fn bytes(&self) -> [usize; 2] {
        let size = if self.half {
            size_of::<u16>()
        } else {
            size_of::<f32>()
        };
        self.numbers.map(|numbers| numbers * size)
    }

    /// Bytes that a sequence of so many tokens has at most: windowed layers let go what they no
    /// longer see, but for what a step adds before it does.
    pub(crate) fn bytes_most(&self, tokens: usize) -> usize {
        let pages = tokens.div_ceil(PAGE);
        let seen = (self.window.saturating_add(STEP_TOKENS)).div_ceil(PAGE) + 1;
        let [global, windowed] = self.bytes();
        pages * global + pages.min(seen) * windowed
    }

    /// Bytes of all pages that were made.
    pub(crate) fn bytes_made(&self) -> usize {
        let [global, windowed] = self.bytes();
        self.made[GLOBAL] * global + self.made[WINDOWED] * windowed
    }

    /// Makes room for the next `count` positions.
    pub(crate) fn extend(&mut self, sequence: &mut Sequence, count: usize) {
        let wanted = (sequence.length + count).div_ceil(PAGE);
        for kind in [GLOBAL, WINDOWED] {
            let table = &mut sequence.tables[kind];
            while table.first + table.pages.len() < wanted {
                let page = self.free[kind].pop().unwrap_or_else(|| {
                    self.made[kind] += 1;
                    Arc::new(Page(if self.half {
                        Numbers::Half(vec![0; self.numbers[kind]])
                    } else {
                        Numbers::Full(vec![0.0; self.numbers[kind]])
                    }))
                });
                table.pages.push_back(page);
            }
        }
    }

    /// Says that so many more positions are computed, and lets go what no later one sees.
    pub(crate) fn advance(&mut self, sequence: &mut Sequence, count: usize) {
        sequence.length += count;
        let seen = (sequence.length + 1).saturating_sub(self.window) / PAGE;
        let table = &mut sequence.tables[WINDOWED];
        while table.first < seen && !table.pages.is_empty() {
            if let Some(page) = table.pages.pop_front() {
                table.first += 1;
                keep(&mut self.free[WINDOWED], page);
            }
        }
    }

    /// Ends a sequence.
    pub(crate) fn end(&mut self, sequence: &mut Sequence) {
        for (table, free) in std::mem::take(&mut sequence.tables)
            .into_iter()
            .zip(&mut self.free)
        {
            for page in table.pages {
                keep(free, page);
            }
        }
        *sequence = Sequence::default();
    }

    /// Takes pages back that were kept for others.
    pub(crate) fn take_back(&mut self, pages: [Arc<Page>; 2]) {
        for (page, free) in pages.into_iter().zip(&mut self.free) {
            keep(free, page);
        }
    }
}

/// Pages that others still read are theirs to give back.
fn keep(free: &mut Vec<Arc<Page>>, mut page: Arc<Page>) {
    if Arc::get_mut(&mut page).is_some() {
        free.push(page);
    }
}
