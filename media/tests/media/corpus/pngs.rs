//! PNGs that promise too much, hold too much, or hold nothing.

use std::slice;

use fdeflate::compress_to_vec;

use super::{Ending, Hostile, hostile};
use crate::pictures::{self, png_chunk, png_head};

/// A PNG of these chunks between head and end.
fn png_of(sides: [u32; 2], rest: [u8; 5], chunks: &[Vec<u8>]) -> Vec<u8> {
    [
        png_head(sides, rest),
        chunks.concat(),
        png_chunk(*b"IEND", &[]),
    ]
    .concat()
}

#[expect(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn files() -> Vec<Hostile> {
    let (corrupt, pixels) = (Ending::Code("corrupt"), Ending::Code("too_many_pixels"));
    let gray = [8, 0, 0, 0, 0];
    let rows = |sides: [usize; 2]| {
        png_chunk(
            *b"IDAT",
            &compress_to_vec(&vec![0; (sides[0] + 1) * sides[1]]),
        )
    };
    let small = rows([8, 8]);
    let bomb = compress_to_vec(&vec![0; 50 << 20]);
    let profile = png_chunk(*b"iCCP", &[b"a\0\0", &bomb[..]].concat());
    let text = png_chunk(*b"zTXt", &[b"a\0\0", &bomb[..]].concat());
    let plain = pictures::rgb_png();
    let broken = |at: usize| {
        let mut bytes = plain.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    let (data, control) = (plain.len() / 2, [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4]);
    let control = [&control[..], &[0; 14]].concat();
    let mut files = vec![
        hostile(
            "png-bomb-said",
            png_of([60_000, 60_000], gray, slice::from_ref(&small)),
            pixels,
        ),
        hostile(
            "png-bomb-of-2-billion",
            png_of([0x7fff_ffff, 0x7fff_ffff], gray, slice::from_ref(&small)),
            pixels,
        ),
        hostile(
            "png-bomb-real",
            png_of([9_000, 9_000], gray, &[rows([9_000, 9_000])]),
            pixels,
        ),
        hostile(
            "png-64-megapixels",
            png_of([8_000, 8_000], gray, &[rows([8_000, 8_000])]),
            Ending::Made,
        ),
        hostile(
            "png-interlaced-63-megapixels",
            png_of([8_000, 7_900], [8, 6, 0, 0, 1], slice::from_ref(&small)),
            Ending::Code("too_much_memory"),
        ),
        hostile(
            "png-wide",
            png_of([60_000, 1], gray, &[rows([60_000, 1])]),
            Ending::Made,
        ),
        hostile(
            "png-tall",
            png_of([1, 60_000], gray, &[rows([1, 60_000])]),
            Ending::Made,
        ),
        hostile(
            "png-one-pixel",
            png_of([1, 1], gray, &[rows([1, 1])]),
            Ending::Made,
        ),
        hostile(
            "png-no-pixel",
            png_of([0, 1], gray, slice::from_ref(&small)),
            corrupt,
        ),
        hostile(
            "png-too-few-rows",
            png_of([8, 9], gray, slice::from_ref(&small)),
            Ending::Cut,
        ),
        hostile(
            "png-too-many-rows",
            png_of([8, 7], gray, slice::from_ref(&small)),
            Ending::Any,
        ),
        hostile(
            "png-data-bomb",
            png_of([8, 8], gray, &[png_chunk(*b"IDAT", &bomb)]),
            Ending::Any,
        ),
        hostile("png-no-data", png_of([8, 8], gray, &[]), Ending::Cut),
        hostile(
            "png-empty-data",
            png_of([8, 8], gray, &[png_chunk(*b"IDAT", &[])]),
            Ending::Cut,
        ),
        hostile(
            "png-wrong-filter",
            png_of(
                [8, 8],
                gray,
                &[png_chunk(*b"IDAT", &compress_to_vec(&[9; 72]))],
            ),
            corrupt,
        ),
        hostile(
            "png-no-palette",
            png_of([8, 8], [8, 3, 0, 0, 0], slice::from_ref(&small)),
            corrupt,
        ),
        hostile(
            "png-short-palette",
            png_of(
                [8, 8],
                [8, 3, 0, 0, 0],
                &[png_chunk(*b"PLTE", &[1, 2]), small.clone()],
            ),
            Ending::Any,
        ),
        hostile(
            "png-palette-of-half-a-colour",
            png_of(
                [8, 8],
                [8, 3, 0, 0, 0],
                &[png_chunk(*b"PLTE", &[9; 53]), small.clone()],
            ),
            corrupt,
        ),
        hostile(
            "png-palette-of-too-many",
            png_of(
                [8, 8],
                [8, 3, 0, 0, 0],
                &[png_chunk(*b"PLTE", &[9; 3 * 257]), small.clone()],
            ),
            corrupt,
        ),
        hostile(
            "png-wrong-depth",
            png_of([8, 8], [5, 0, 0, 0, 0], slice::from_ref(&small)),
            corrupt,
        ),
        hostile(
            "png-wrong-colour",
            png_of([8, 8], [8, 5, 0, 0, 0], slice::from_ref(&small)),
            corrupt,
        ),
        hostile(
            "png-wrong-interlace",
            png_of([8, 8], [8, 0, 0, 0, 7], slice::from_ref(&small)),
            corrupt,
        ),
        hostile(
            "png-profile-bomb",
            png_of([8, 8], gray, &[profile, small.clone()]),
            Ending::Any,
        ),
        hostile(
            "png-text-bomb",
            png_of([8, 8], gray, &[text.repeat(20), small.clone()]),
            Ending::Made,
        ),
        hostile(
            "png-exif-of-5-megabytes",
            png_of(
                [8, 8],
                gray,
                &[png_chunk(*b"eXIf", &vec![7; 5 << 20]), small.clone()],
            ),
            Ending::Any,
        ),
        hostile(
            "png-unknown-chunk-of-30-megabytes",
            png_of(
                [8, 8],
                gray,
                &[png_chunk(*b"laRg", &vec![7; 30 << 20]), small.clone()],
            ),
            Ending::Any,
        ),
        hostile(
            "png-100000-chunks",
            png_of(
                [8, 8],
                gray,
                &[png_chunk(*b"tINy", &[]).repeat(100_000), small.clone()],
            ),
            Ending::Made,
        ),
        hostile(
            "png-chunk-of-4-gigabytes",
            [png_head([8, 8], gray), vec![0xff; 4], b"IDAT".to_vec()].concat(),
            Ending::Any,
        ),
        hostile(
            "png-head-twice",
            [
                png_head([8, 8], gray),
                png_of([8, 8], gray, slice::from_ref(&small))[8..].to_vec(),
            ]
            .concat(),
            corrupt,
        ),
        hostile("png-head-broken", broken(18), corrupt),
        hostile("png-head-checksum-broken", broken(30), corrupt),
        hostile("png-data-broken", broken(data), Ending::Cut),
        hostile(
            "png-data-checksum-broken",
            broken(plain.len() - 16),
            Ending::Cut,
        ),
    ];
    let animated = [
        png_chunk(*b"acTL", &[0, 0, 0, 9, 0, 0, 0, 0]),
        png_chunk(*b"fcTL", &control),
        small,
    ]
    .concat();
    files.push(hostile(
        "png-animated-smaller",
        png_of([8, 8], gray, &[animated]),
        Ending::Any,
    ));
    files
}
