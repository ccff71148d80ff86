//! The scans of a JPEG: one with everything, read as pixels are wanted, or many, kept until the end.

use super::{
    Strip,
    bits::Bits,
    block::{self, Band, Block},
    header::{Component, Frame, Markers, Scan},
    huffman::Table,
};
use crate::{
    error::{Code, Error, Result},
    limits::{BLOCK_VISITS_MAX, SCANS_MAX},
};

/// Counts units, and takes the restart markers between them.
struct Restarts {
    every: usize,
    units: usize,
    number: u8,
}

impl Restarts {
    fn new(every: usize) -> Self {
        Self {
            every,
            units: 0,
            number: 0,
        }
    }

    /// To be called before each unit; true where everything begins anew.
    fn next(&mut self, bits: &mut Bits<'_>) -> Result<bool> {
        let due = self.every > 0 && self.units == self.every;
        if due {
            bits.restart(self.number)?;
            self.number = (self.number + 1) & 7;
            self.units = 0;
        }
        self.units += 1;
        Ok(due)
    }
}

/// What a component of a scan is decoded with.
struct Part<'a> {
    component: usize,
    /// Blocks in each unit, across and down.
    across: usize,
    down: usize,
    /// Blocks in a row of the component.
    stride: usize,
    /// A scan needs only the tables that it uses.
    dc: Option<&'a Table>,
    ac: Option<&'a Table>,
    previous: i32,
}

impl<'a> Part<'a> {
    fn new(
        frame: &Frame,
        markers: &'a Markers<'_>,
        (component, dc, ac): (usize, usize, usize),
        alone: bool,
    ) -> Self {
        let sizes = &frame.components[component];
        Self {
            component,
            across: if alone { 1 } else { sizes.across },
            down: if alone { 1 } else { sizes.down },
            stride: frame.blocks(sizes).0,
            dc: markers.dc[dc].as_ref(),
            ac: markers.ac[ac].as_ref(),
            previous: 0,
        }
    }

    fn sequential(&mut self, bits: &mut Bits<'_>, block: &mut Block) -> Result<usize> {
        let tables = (needed(self.dc)?, needed(self.ac)?);
        block::sequential(bits, tables, &mut self.previous, block)
    }
}

fn needed(table: Option<&Table>) -> Result<&Table> {
    table.ok_or_else(|| Error::corrupt("a Huffman table is missing"))
}

/// The only scan of a sequential picture, with all of its components.
pub(super) struct Sequential<'a> {
    bits: Bits<'a>,
    restarts: Restarts,
    parts: Vec<Part<'a>>,
    units_across: usize,
}

impl<'a> Sequential<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        markers: &'a Markers<'_>,
        frame: &Frame,
        scan: &Scan,
    ) -> Self {
        let alone = scan.components.len() == 1;
        let part = |tables: &(usize, usize, usize)| Part::new(frame, markers, *tables, alone);
        Self {
            bits: Bits::new(bytes, markers.at),
            restarts: Restarts::new(markers.restart),
            parts: scan.components.iter().map(part).collect(),
            units_across: frame.units_across(),
        }
    }

    /// Decodes one row of units.
    pub(super) fn row(&mut self, strip: &mut Strip) -> Result<()> {
        for unit in 0..self.units_across {
            if self.restarts.next(&mut self.bits)? {
                self.parts.iter_mut().for_each(|part| part.previous = 0);
            }
            for part in &mut self.parts {
                for y in 0..part.down {
                    for x in unit * part.across..(unit + 1) * part.across {
                        let mut block = [0; 64];
                        let last_row = part.sequential(&mut self.bits, &mut block)?;
                        strip.write(part.component, x, y, &block, last_row);
                    }
                }
            }
        }
        Ok(())
    }
}

/// All coefficients of a picture, which several scans put together.
pub(super) struct Coefficients {
    /// A component each: blocks in rows.
    blocks: Vec<Vec<Block>>,
    /// Whether a component has its first coefficients.
    begun: Vec<bool>,
    visits: u64,
}

impl Coefficients {
    pub(super) fn new(frame: &Frame, memory_bytes_max: u64) -> Result<Self> {
        let count = |component: &Component| {
            let (across, down) = frame.blocks(component);
            across * down
        };
        let counts: Vec<usize> = frame.components.iter().map(count).collect();
        let bytes = counts.iter().sum::<usize>() * size_of::<Block>();
        // The rest is for the file, and for the pixels.
        if bytes as u64 > memory_bytes_max / 4 * 3 {
            return Err(Error::refused(
                Code::TooMuchMemory,
                "a JPEG in several scans",
            ));
        }
        Ok(Self {
            begun: vec![false; counts.len()],
            blocks: counts
                .into_iter()
                .map(|count| vec![[0; 64]; count])
                .collect(),
            visits: 0,
        })
    }

    /// Reads `scan` and those behind it, to the end of a progressive picture and until a sequential
    /// one is complete.
    pub(super) fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        markers: &mut Markers<'a>,
        frame: &Frame,
        mut scan: Scan,
    ) -> Result<()> {
        for _ in 0..SCANS_MAX {
            markers.at = self.scan(bytes, markers, frame, &scan)?;
            if !frame.progressive && self.begun.iter().all(|begun| *begun) {
                return Ok(());
            }
            match markers.scan()? {
                Some(next) => scan = next,
                None if self.begun.iter().all(|begun| *begun) => return Ok(()),
                None => return Err(Error::corrupt("a component without a scan")),
            }
        }
        Err(Error::refused(Code::TooSlow, "too many scans"))
    }

    /// Reads one scan; answers where its bytes end.
    fn scan(
        &mut self,
        bytes: &[u8],
        markers: &Markers<'_>,
        frame: &Frame,
        scan: &Scan,
    ) -> Result<usize> {
        let mut bits = Bits::new(bytes, markers.at);
        let mut reader = Reader::new(frame, markers, scan)?;
        let (across, down) = reader.units;
        self.visits += (across * down) as u64 * reader.blocks_per_unit() as u64;
        if self.visits > BLOCK_VISITS_MAX {
            return Err(Error::refused(Code::TooSlow, "too many scans for its size"));
        }
        for unit in 0..across * down {
            let (x, y) = (unit % across, unit / across);
            reader.unit(&mut bits, (x, y), &mut self.blocks)?;
        }
        for (component, _, _) in &scan.components {
            // Sequential scans bring everything; of progressive ones, those from coefficient 0 on.
            self.begun[*component] |= scan.first == 0;
        }
        Ok(bits.position())
    }

    /// Makes pixels of one row of units.
    pub(super) fn row(&self, frame: &Frame, unit_row: usize, strip: &mut Strip) {
        for (index, component) in frame.components.iter().enumerate() {
            let (across, _) = frame.blocks(component);
            for y in 0..component.down {
                let first = (unit_row * component.down + y) * across;
                for (x, block) in self.blocks[index][first..first + across].iter().enumerate() {
                    strip.write(index, x, y, block, last_row(block));
                }
            }
        }
    }
}

fn last_row(block: &Block) -> usize {
    let mut rows = block.chunks_exact(8);
    rows.rposition(|row| row.iter().any(|value| *value != 0))
        .unwrap_or(0)
}

/// One scan: which blocks its units hold, and how a block of it is read.
struct Reader<'a> {
    parts: Vec<Part<'a>>,
    units: (usize, usize),
    progressive: bool,
    refines: bool,
    low: u32,
    band: Option<Band>,
    restarts: Restarts,
}

impl<'a> Reader<'a> {
    fn new(frame: &Frame, markers: &'a Markers<'_>, scan: &Scan) -> Result<Self> {
        let progressive = frame.progressive;
        let band = progressive && scan.first > 0;
        let alone = scan.components.len() == 1;
        let wrong = scan.low > 13 || (band && (!alone || scan.last < scan.first));
        if progressive && (wrong || (!band && scan.last > 0)) || (!progressive && scan.first > 0) {
            return Err(Error::corrupt("a scan that contradicts itself"));
        }
        let part = |tables: &(usize, usize, usize)| Part::new(frame, markers, *tables, alone);
        let units = match scan.components.as_slice() {
            [(component, _, _)] => own_blocks(frame, &frame.components[*component]),
            _ => (frame.units_across(), frame.units_down()),
        };
        Ok(Self {
            parts: scan.components.iter().map(part).collect(),
            units,
            progressive,
            refines: scan.high > 0,
            low: scan.low,
            band: band.then_some(Band {
                first: scan.first,
                last: scan.last,
                low: scan.low,
                empty: 0,
            }),
            restarts: Restarts::new(markers.restart),
        })
    }

    fn blocks_per_unit(&self) -> usize {
        self.parts.iter().map(|part| part.across * part.down).sum()
    }

    fn unit(
        &mut self,
        bits: &mut Bits<'_>,
        (x, y): (usize, usize),
        blocks: &mut [Vec<Block>],
    ) -> Result<()> {
        if self.restarts.next(bits)? {
            self.parts.iter_mut().for_each(|part| part.previous = 0);
            if let Some(band) = &mut self.band {
                band.empty = 0;
            }
        }
        for part in &mut self.parts {
            for at in 0..part.across * part.down {
                let (column, row) = (at % part.across, at / part.across);
                let place = (y * part.down + row) * part.stride + x * part.across + column;
                let block = &mut blocks[part.component][place];
                match &mut self.band {
                    Some(band) if self.refines => band.refine(bits, needed(part.ac)?, block)?,
                    Some(band) => band.begin(bits, needed(part.ac)?, block)?,
                    None if !self.progressive => {
                        part.sequential(bits, block)?;
                    }
                    None if self.refines => {
                        block[0] |= i16::from(bits.bit()) << self.low;
                        bits.check()?;
                    }
                    None => {
                        let first = block::first(bits, needed(part.dc)?, &mut part.previous)?;
                        block[0] = block::low(i32::from(first) << self.low);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The blocks of a component that hold some of the picture: a row, and rows.
fn own_blocks(frame: &Frame, component: &Component) -> (usize, usize) {
    let blocks = |side: usize, own: usize, most: usize| (side * own).div_ceil(most).div_ceil(8);
    (
        blocks(frame.width, component.across, frame.across),
        blocks(frame.height, component.down, frame.down),
    )
}
