//! BMP and TIFF: valid ones, and those whose heads lie.

use super::{Ending, Hostile, hostile, pictures, with};

/// Where the sides stand in a BMP, and how its rows are packed.
const BMP_SIDES: usize = 18;
const BMP_PACKING: usize = 30;
/// Where the entries of the one directory of a TIFF begin, and how long each is.
const TIFF_ENTRIES: usize = 10;
const ENTRY_BYTES: usize = 12;
/// Which entry is which: see `tiff_of`.
const WIDTH: usize = 0;
const HEIGHT: usize = 1;
const BITS: usize = 2;
const PACKING: usize = 3;
const OFFSET: usize = 5;
const LENGTH: usize = 8;

/// The drawing as Windows stores it: from the bottom up, blue first, rows of whole fours.
pub(crate) fn bmp() -> Vec<u8> {
    let [width, height] = pictures::SIDES.map(u32::from);
    let mut rows = Vec::new();
    for row in pictures::drawing().chunks_exact(3 * width as usize).rev() {
        rows.extend(row.chunks_exact(3).flat_map(|it| [it[2], it[1], it[0]]));
        rows.resize(rows.len().next_multiple_of(4), 0);
    }
    let length = u32::try_from(54 + rows.len()).expect("small");
    let head = [
        length,
        0,
        54,
        40,
        width,
        height,
        1 | 24 << 16,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    [b"BM".to_vec(), head.map(u32::to_le_bytes).concat(), rows].concat()
}

pub(crate) fn tiff() -> Vec<u8> {
    tiff_of(&pictures::drawing(), 8)
}

pub(crate) fn deep_tiff() -> Vec<u8> {
    let deep = pictures::drawing().into_iter().flat_map(|byte| [7, byte]);
    tiff_of(&deep.collect::<Vec<_>>(), 16)
}

/// A TIFF of one strip, as simple as can be.
fn tiff_of(pixels: &[u8], bits: u16) -> Vec<u8> {
    let [width, height] = pictures::SIDES.map(u32::from);
    let (short, long, count) = (3, 4, 10);
    let behind = u32::try_from(TIFF_ENTRIES + count * ENTRY_BYTES + 4).expect("small");
    let length = u32::try_from(pixels.len()).expect("small");
    // Tag, type, how many, and the value or where the values are.
    let entries: [(u16, u16, u32, u32); 10] = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, 3, behind),
        (259, short, 1, 1),
        (262, short, 1, 2),
        (273, long, 1, behind + 6),
        (277, short, 1, 3),
        (278, long, 1, height),
        (279, long, 1, length),
        (284, short, 1, 1),
    ];
    let entry = |(tag, kind, many, value): (u16, u16, u32, u32)| {
        let (begin, end) = (
            [tag, kind].map(u16::to_le_bytes),
            [many, value].map(u32::to_le_bytes),
        );
        [begin.concat(), end.concat()].concat()
    };
    let entries: Vec<u8> = entries.into_iter().flat_map(entry).collect();
    let bits = [bits; 3].map(u16::to_le_bytes).concat();
    let head = b"II*\0\x08\0\0\0\x0a\0";
    [&head[..], &entries, &[0; 4], &bits, pixels].concat()
}

/// The TIFF with another value in an entry.
fn lying(entry: usize, value: u32) -> Vec<u8> {
    let at = TIFF_ENTRIES + entry * ENTRY_BYTES + 8;
    with(&tiff(), at, &value.to_le_bytes())
}

pub(crate) fn files() -> Vec<Hostile> {
    // Its strip is compared with its sides before anybody else sees them.
    let (many, short) = (Ending::Code("too_many_pixels"), Ending::Code("corrupt"));
    let side = 20_000_u32.to_le_bytes();
    let sides = [side, side].concat();
    let bmp = |name, at, others: &[u8], ending| hostile(name, with(&bmp(), at, others), ending);
    let large = lying(WIDTH, 20_000);
    let height = TIFF_ENTRIES + HEIGHT * ENTRY_BYTES + 8;
    vec![
        bmp("bmp-of-400-megapixels", BMP_SIDES, &sides, many),
        bmp("bmp-of-nothing", BMP_SIDES, &[0; 8], Ending::Any),
        bmp(
            "bmp-of-the-longest-side",
            BMP_SIDES,
            &[0xff, 0xff, 0xff, 0x7f],
            Ending::Any,
        ),
        bmp(
            "bmp-of-less-than-nothing",
            BMP_SIDES,
            &[0xff; 4],
            Ending::Any,
        ),
        bmp("bmp-of-runs-that-are-none", BMP_PACKING, &[1], Ending::Any),
        hostile("tiff-of-400-megapixels", with(&large, height, &side), short),
        hostile("tiff-of-nothing", lying(HEIGHT, 0), Ending::Any),
        hostile("tiff-far-away", lying(OFFSET, u32::MAX), Ending::Cut),
        hostile(
            "tiff-of-too-long-a-strip",
            lying(LENGTH, u32::MAX),
            Ending::Any,
        ),
        hostile("tiff-of-no-strip", lying(LENGTH, 0), Ending::Any),
        hostile("tiff-of-bits-far-away", lying(BITS, u32::MAX), Ending::Cut),
        hostile("tiff-packed-by-nobody", lying(PACKING, 60_000), Ending::Any),
        hostile("tiff-that-is-its-own-strip", lying(OFFSET, 8), Ending::Any),
    ]
}
