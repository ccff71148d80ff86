//! JPEG, scaled while it is decoded: baseline and progressive, gray, colour and CMYK.
//!
//! It is ours because nothing else does all of this with nothing but a Rust compiler: pixels in
//! fewer than they were written, rows as they come instead of a whole picture, and an error where
//! bytes are missing or wrong instead of gray.

mod bits;
mod block;
mod colour;
mod header;
mod huffman;
mod idct;
mod scans;

use header::{Frame, Markers, Scan, Space};
use idct::{Idct, SPILL_MAX};
use scans::{Coefficients, Sequential};

use crate::{
    error::{Error, Result},
    limits::Limits,
    picture::{Header, Picture},
    rows::Rows,
};

/// A JPEG whose header was read.
pub(crate) struct Jpeg<'a> {
    bytes: &'a [u8],
    markers: Markers<'a>,
    frame: Frame,
    scan: Scan,
    space: Space,
    memory_bytes_max: u64,
}

/// Reads everything before the first scan.
pub(crate) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Jpeg<'a>)> {
    let mut markers = Markers::new(bytes, limits.metadata_bytes_max);
    let scan = markers
        .scan()?
        .ok_or_else(|| Error::corrupt("a JPEG without a picture"))?;
    let frame = markers
        .frame
        .clone()
        .ok_or_else(|| Error::corrupt("a JPEG without a frame"))?;
    let space = markers.space(&frame);
    let header = Header {
        width: u32::try_from(frame.width).unwrap_or(u32::MAX),
        height: u32::try_from(frame.height).unwrap_or(u32::MAX),
        pixels: space.pixels(),
        orientation: markers.orientation,
        profile: markers.profile(),
    };
    let jpeg = Jpeg {
        bytes,
        markers,
        frame,
        scan,
        space,
        memory_bytes_max: limits.memory_bytes_max,
    };
    Ok((header, jpeg))
}

impl Jpeg<'_> {
    /// Decodes to exactly `width` x `height`, neither larger than the picture.
    pub(crate) fn decode(mut self, width: u32, height: u32) -> Result<Picture> {
        let eighths = self.eighths(width, height);
        let sides = [self.frame.width, self.frame.height].map(|side| (side * eighths).div_ceil(8));
        let mut rows = Rows::new(
            sides.map(|side| u32::try_from(side).unwrap_or(u32::MAX)),
            [width, height],
            self.space.pixels(),
            self.memory_bytes_max,
        )?;
        if !self.frame.progressive && self.scan.components.len() == self.frame.components.len() {
            let mut strip = Strip::new(&self.frame, &self.markers, eighths, self.space)?;
            let mut scan = Sequential::new(self.bytes, &self.markers, &self.frame, &self.scan);
            for unit_row in 0..self.frame.units_down() {
                scan.row(&mut strip)?;
                strip.give(unit_row, sides[1], &mut rows)?;
            }
            return rows.finish();
        }
        let mut all = Coefficients::new(&self.frame, self.memory_bytes_max)?;
        all.read(self.bytes, &mut self.markers, &self.frame, self.scan)?;
        // Tables may stand between the scans.
        let mut strip = Strip::new(&self.frame, &self.markers, eighths, self.space)?;
        for unit_row in 0..self.frame.units_down() {
            all.row(&self.frame, unit_row, &mut strip);
            strip.give(unit_row, sides[1], &mut rows)?;
        }
        rows.finish()
    }

    /// The fewest pixels a block, 1 to 8 a side, that are enough for `width` x `height`.
    fn eighths(&self, width: u32, height: u32) -> usize {
        let enough = |eighths: &usize| {
            let [across, down] =
                [self.frame.width, self.frame.height].map(|side| side * eighths / 8);
            across >= width as usize && down >= height as usize
        };
        (1..8).find(enough).unwrap_or(8)
    }
}

/// One row of units as pixels: a plane a component, all of one size.
struct Strip {
    planes: Vec<Vec<u8>>,
    transforms: Vec<Idct>,
    /// Of each component: the pixels that a block becomes.
    sizes: Vec<(usize, usize)>,
    stride: usize,
    height: usize,
    space: Space,
}

impl Strip {
    fn new(frame: &Frame, markers: &Markers<'_>, eighths: usize, space: Space) -> Result<Self> {
        // What is written behind the last block of a row must not be the first of the next.
        let (stride, height) = (
            frame.units_across() * frame.across * eighths + SPILL_MAX,
            frame.down * eighths,
        );
        let mut strip = Self {
            planes: vec![vec![0; stride * height]; frame.components.len()],
            transforms: Vec::new(),
            sizes: Vec::new(),
            stride,
            height,
            space,
        };
        for component in &frame.components {
            let quantum = markers.quanta[component.quantum].as_ref();
            let quantum = quantum.ok_or_else(|| Error::corrupt("no quantisation table"))?;
            // A component of fewer blocks gets more pixels a block: no upsampling is left to do.
            let width = eighths * frame.across / component.across;
            let height = eighths * frame.down / component.down;
            strip.transforms.push(Idct::new(width, height, quantum));
            strip.sizes.push((width, height));
        }
        Ok(strip)
    }

    /// Writes the block in column `x` and row `y` of this strip.
    fn write(
        &mut self,
        component: usize,
        x: usize,
        y: usize,
        block: &block::Block,
        last_row: usize,
    ) {
        let (width, height) = self.sizes[component];
        let at = y * height * self.stride + x * width;
        let plane = &mut self.planes[component];
        self.transforms[component].write(block, last_row, plane, at, self.stride);
    }

    /// Hands the rows of this strip on; the last strip has some below the picture.
    fn give(&self, unit_row: usize, picture_height: usize, rows: &mut Rows) -> Result<()> {
        let left = picture_height.saturating_sub(unit_row * self.height);
        for y in 0..self.height.min(left) {
            let components: Vec<&[u8]> = self
                .planes
                .iter()
                .map(|plane| &plane[y * self.stride..(y + 1) * self.stride])
                .collect();
            self.space.write_row(&components, rows.next()?);
        }
        Ok(())
    }
}
