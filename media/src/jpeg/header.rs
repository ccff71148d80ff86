//! The markers of a JPEG: what stands before and between its scans.

use super::{huffman::Table, idct::POINTS_MAX};
use crate::{
    error::{Code, Error, Result},
    exif,
    limits::PROFILE_PARTS_MAX,
    picture::Orientation,
};

/// From the order in which coefficients are written to their place in the block.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What three or four components mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Gray,
    YCbCr,
    Rgb,
    /// Amounts of ink; `inverted` as Adobe writes them.
    Cmyk {
        inverted: bool,
    },
    /// CMY as YCbCr, and K.
    Ycck,
}

/// One colour of a frame.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Blocks across and down in each unit of an interleaved scan, 1 to 4.
    pub(super) across: usize,
    pub(super) down: usize,
    /// The place of its quantisation table.
    pub(super) quantum: usize,
}

/// What the frame marker says.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    /// The largest `across` and `down`.
    pub(super) across: usize,
    pub(super) down: usize,
}

impl Frame {
    /// Units of interleaved scans in a row.
    pub(super) fn units_across(&self) -> usize {
        self.width.div_ceil(8 * self.across)
    }

    /// Rows of units of interleaved scans.
    pub(super) fn units_down(&self) -> usize {
        self.height.div_ceil(8 * self.down)
    }

    /// Blocks of a component, the padding of interleaved scans included: a row, and rows.
    pub(super) fn blocks(&self, component: &Component) -> (usize, usize) {
        (
            self.units_across() * component.across,
            self.units_down() * component.down,
        )
    }
}

/// What a scan marker says.
pub(super) struct Scan {
    /// Of each component in it: its place in the frame, its DC table and its AC table.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// The first and the last coefficient.
    pub(super) first: usize,
    pub(super) last: usize,
    /// The bit above those of this scan, 0 in the first one; and the lowest bit of this scan.
    pub(super) high: u32,
    pub(super) low: u32,
}

/// Everything that was read so far.
pub(super) struct Markers<'a> {
    bytes: &'a [u8],
    /// Where the next marker is looked for.
    pub(super) at: usize,
    pub(super) frame: Option<Frame>,
    /// In rows of the block.
    pub(super) quanta: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
    /// Units between restart markers; 0: none.
    pub(super) restart: usize,
    pub(super) orientation: Orientation,
    profile: Vec<(u8, &'a [u8])>,
    jfif: bool,
    adobe: Option<u8>,
    metadata_bytes_max: usize,
}

impl<'a> Markers<'a> {
    pub(super) fn new(bytes: &'a [u8], metadata_bytes_max: usize) -> Self {
        Self {
            bytes,
            at: 2,
            frame: None,
            quanta: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart: 0,
            orientation: Orientation::default(),
            profile: Vec::new(),
            jfif: false,
            adobe: None,
            metadata_bytes_max,
        }
    }

    /// Reads on to the next scan; none at the end of the image.
    pub(super) fn scan(&mut self) -> Result<Option<Scan>> {
        loop {
            let marker = self.marker()?;
            match marker {
                0xd9 => return Ok(None),
                // Restarts and the start, where they mean nothing.
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let segment = self.segment()?;
            match marker {
                0xc0..=0xc2 => self.frame(segment, marker == 0xc2)?,
                0xc4 => self.huffman(segment)?,
                0xc3 | 0xc5..=0xcf => {
                    return Err(Error::unsupported("lossless or arithmetic JPEG"));
                }
                0xda => return self.start(segment).map(Some),
                0xdb => self.quantisation(segment)?,
                0xdc => return Err(Error::unsupported("JPEG with its height behind it")),
                0xdd => self.restart = usize::from(be16(segment, 0)?),
                0xe0 => self.jfif |= segment.starts_with(b"JFIF\0"),
                0xe1 => self.exif(segment)?,
                0xe2 => self.icc(segment)?,
                0xee if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
                _ => {}
            }
        }
    }

    fn marker(&mut self) -> Result<u8> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let found = rest
            .windows(2)
            .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))
            .ok_or_else(|| Error::truncated("the file ends before its picture"))?;
        self.at += found + 2;
        Ok(rest[found + 1])
    }

    fn segment(&mut self) -> Result<&'a [u8]> {
        let cut = || Error::truncated("the file ends within a segment");
        let length = usize::from(be16(self.bytes, self.at).map_err(|_| cut())?);
        let segment = self.bytes.get(self.at + 2..self.at + length);
        self.at += length;
        if length < 2 {
            return Err(Error::corrupt("a segment shorter than its length"));
        }
        segment.ok_or_else(cut)
    }

    fn frame(&mut self, segment: &[u8], progressive: bool) -> Result<()> {
        if self.frame.is_some() {
            return Err(Error::corrupt("two frames"));
        }
        let (bits, height, width) = (byte(segment, 0)?, be16(segment, 1)?, be16(segment, 3)?);
        if bits != 8 {
            return Err(Error::unsupported("JPEG with more than eight bits"));
        }
        if width == 0 || height == 0 {
            return Err(Error::corrupt("a frame without pixels"));
        }
        let count = usize::from(byte(segment, 5)?);
        let mut components = Vec::new();
        for index in 0..count {
            components.push(component(segment, 6 + 3 * index, count)?);
        }
        let most = |get: fn(&Component) -> usize| components.iter().map(get).max().unwrap_or(0);
        let (across, down) = (most(|it| it.across), most(|it| it.down));
        if !matches!(count, 1 | 3 | 4) {
            return Err(Error::unsupported("a JPEG of so many components"));
        }
        if components
            .iter()
            .any(|it| across % it.across + down % it.down != 0)
        {
            return Err(Error::unsupported("a JPEG with components of uneven sizes"));
        }
        debug_assert!(8 * across <= POINTS_MAX && 8 * down <= POINTS_MAX);
        self.frame = Some(Frame {
            width: usize::from(width),
            height: usize::from(height),
            progressive,
            components,
            across,
            down,
        });
        Ok(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Result<()> {
        while let Some((kind, rest)) = segment.split_first() {
            let counts: &[u8; 16] = rest.first_chunk().ok_or_else(short)?;
            let values: usize = counts.iter().copied().map(usize::from).sum();
            let symbols = rest.get(16..16 + values).ok_or_else(short)?;
            let tables = if kind >> 4 == 0 {
                &mut self.dc
            } else {
                &mut self.ac
            };
            let place = tables.get_mut(usize::from(kind & 15)).ok_or_else(short)?;
            *place = Some(Table::new(counts, symbols)?);
            segment = &rest[16 + values..];
        }
        Ok(())
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Result<()> {
        while let Some((kind, rest)) = segment.split_first() {
            let place = self
                .quanta
                .get_mut(usize::from(kind & 15))
                .ok_or_else(short)?;
            let wide = kind >> 4 != 0;
            let mut table = [0; 64];
            for (index, at) in ZIGZAG.iter().enumerate() {
                table[usize::from(*at)] = if wide {
                    be16(rest, 2 * index)?
                } else {
                    u16::from(byte(rest, index)?)
                };
            }
            *place = Some(table);
            segment = &rest[if wide { 128 } else { 64 }..];
        }
        Ok(())
    }

    fn start(&self, segment: &[u8]) -> Result<Scan> {
        let frame = self
            .frame
            .as_ref()
            .ok_or_else(|| Error::corrupt("a scan before its frame"))?;
        let count = usize::from(byte(segment, 0)?);
        let mut components = Vec::new();
        for index in 0..count.min(4) {
            let (id, tables) = (byte(segment, 1 + 2 * index)?, byte(segment, 2 + 2 * index)?);
            let place = frame.components.iter().position(|it| it.id == id);
            let place = place.ok_or_else(|| Error::corrupt("a scan of no component"))?;
            let tables = (usize::from(tables >> 4), usize::from(tables & 15));
            if tables.0 > 3 || tables.1 > 3 || components.iter().any(|(it, _, _)| *it == place) {
                return Err(short());
            }
            components.push((place, tables.0, tables.1));
        }
        let after = 1 + 2 * count;
        let (first, last) = (byte(segment, after)?, byte(segment, after + 1)?);
        let bits = byte(segment, after + 2)?;
        if components.is_empty() || count > 4 || last > 63 {
            return Err(short());
        }
        Ok(Scan {
            components,
            first: usize::from(first),
            last: usize::from(last),
            high: u32::from(bits >> 4),
            low: u32::from(bits & 15),
        })
    }

    fn exif(&mut self, segment: &[u8]) -> Result<()> {
        let Some(exif) = segment.strip_prefix(b"Exif\0\0") else {
            return Ok(());
        };
        self.bounded(exif.len())?;
        self.orientation = exif::orientation(exif);
        Ok(())
    }

    fn icc(&mut self, segment: &'a [u8]) -> Result<()> {
        let Some([number, _, part @ ..]) = segment.strip_prefix(b"ICC_PROFILE\0") else {
            return Ok(());
        };
        if self.profile.len() == PROFILE_PARTS_MAX {
            let detail = "its colour profile has too many parts";
            return Err(Error::refused(Code::TooMuchMetadata, detail));
        }
        self.profile.push((*number, part));
        self.bounded(self.profile.iter().map(|(_, part)| part.len()).sum())
    }

    fn bounded(&self, bytes: usize) -> Result<()> {
        if bytes > self.metadata_bytes_max {
            return Err(Error::refused(Code::TooMuchMetadata, "profile or EXIF"));
        }
        Ok(())
    }

    /// The colour profile, put together from its parts.
    pub(super) fn profile(&self) -> Option<Vec<u8>> {
        let mut parts = self.profile.clone();
        parts.sort_by_key(|(number, _)| *number);
        let bytes: Vec<u8> = parts
            .into_iter()
            .flat_map(|(_, part)| part)
            .copied()
            .collect();
        (!bytes.is_empty()).then_some(bytes)
    }

    /// What the components mean, by the rules of libjpeg: JFIF is believed before Adobe, and says nothing
    /// of four components.
    pub(super) fn space(&self, frame: &Frame) -> Space {
        let ids: Vec<u8> = frame.components.iter().map(|it| it.id).collect();
        match (ids.len(), self.adobe) {
            (1, _) => Space::Gray,
            (3, Some(0)) if !self.jfif => Space::Rgb,
            (3, None) if !self.jfif && ids == *b"RGB" => Space::Rgb,
            (3, _) => Space::YCbCr,
            (_, Some(0)) => Space::Cmyk { inverted: true },
            (_, Some(_)) => Space::Ycck,
            (_, None) => Space::Cmyk { inverted: false },
        }
    }
}

fn component(segment: &[u8], at: usize, count: usize) -> Result<Component> {
    let sizes = byte(segment, at + 1)?;
    let (across, down) = (usize::from(sizes >> 4), usize::from(sizes & 15));
    let quantum = usize::from(byte(segment, at + 2)?);
    if !(1..=4).contains(&across) || !(1..=4).contains(&down) || quantum > 3 {
        return Err(short());
    }
    // A single component is never interleaved, whatever sizes it has.
    let alone = count == 1;
    Ok(Component {
        id: byte(segment, at)?,
        across: if alone { 1 } else { across },
        down: if alone { 1 } else { down },
        quantum,
    })
}

fn byte(bytes: &[u8], at: usize) -> Result<u8> {
    bytes.get(at).copied().ok_or_else(short)
}

fn be16(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_be_bytes([byte(bytes, at)?, byte(bytes, at + 1)?]))
}

fn short() -> Error {
    Error::corrupt("a segment that contradicts itself")
}
