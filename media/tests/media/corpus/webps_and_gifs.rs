//! `WebP`s and GIFs with more, or larger, or other things in them than they say.

use super::{Ending, Hostile, hostile, with};
use crate::pictures::{self, chunk, riff, vp8x};

#[expect(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn files() -> Vec<Hostile> {
    let (truncated, pixels) = (Ending::Code("truncated"), Ending::Code("too_many_pixels"));
    let (webp, gif) = (pictures::webp(false), pictures::gif(1));
    let still = webp[12..].to_vec();
    let sides = pictures::SIDES.map(u32::from);
    let extended =
        |flags: u8, chunks: Vec<Vec<u8>>| riff(&[vec![vp8x(flags, sides)], chunks].concat());
    let canvas = with(&gif, 6, &[0xff; 4]);
    // The frame follows head and palette of 64 colours, and what makes it repeat.
    let frame = gif
        .windows(5)
        .position(|it| it == [0x2c, 0, 0, 0, 0])
        .expect("a frame");
    vec![
        hostile(
            "webp-bomb",
            riff(&[vp8x(0, [16_384, 16_384]), still.clone()]),
            Ending::Any,
        ),
        hostile(
            "webp-animated-bomb",
            riff(&[vp8x(2, [16_384, 16_384]), chunk(*b"ANIM", &[0; 6])]),
            pixels,
        ),
        hostile(
            "webp-frame-says-more",
            with(&webp, 26, &[0xff, 0x3f, 0xff, 0x3f]),
            pixels,
        ),
        hostile(
            "webp-lossless-says-more",
            with(&pictures::webp(true), 21, &[0xff, 0xff, 0xff, 0x0f]),
            pixels,
        ),
        hostile(
            "webp-too-long",
            with(&webp, 4, &[0xff, 0xff, 0xff, 0x7f]),
            truncated,
        ),
        hostile("webp-no-chunk", riff(&[]), Ending::Cut),
        hostile("webp-only-head", riff(&[vp8x(0, sides)]), Ending::Any),
        hostile(
            "webp-profile-of-5-megabytes",
            extended(32, vec![chunk(*b"ICCP", &vec![7; 5 << 20]), still.clone()]),
            Ending::Code("too_much_metadata"),
        ),
        hostile(
            "webp-profile-of-nonsense",
            extended(32, vec![chunk(*b"ICCP", &[7; 999]), still.clone()]),
            Ending::Made,
        ),
        hostile(
            "webp-exif-of-5-megabytes",
            extended(8, vec![still.clone(), chunk(*b"EXIF", &vec![7; 5 << 20])]),
            Ending::Code("too_much_metadata"),
        ),
        hostile(
            "webp-xmp-of-10-megabytes",
            extended(
                4,
                vec![still.clone(), chunk(*b"XMP ", &vec![b'x'; 10 << 20])],
            ),
            Ending::Made,
        ),
        hostile(
            "webp-100000-chunks",
            extended(0, vec![chunk(*b"tiny", &[]).repeat(100_000), still.clone()]),
            Ending::Made,
        ),
        hostile(
            "webp-2000-frames",
            pictures::animated_webp(2000),
            Ending::Made,
        ),
        hostile(
            "webp-alpha-of-noise",
            extended(16, vec![chunk(*b"ALPH", &[1; 500]), still]),
            Ending::Any,
        ),
        hostile("gif-10000-frames", pictures::gif(10_000), Ending::Made),
        hostile("gif-canvas-bomb", canvas, pixels),
        hostile("gif-no-canvas", with(&gif, 6, &[0; 4]), Ending::Any),
        hostile("gif-frame-bomb", with(&gif, frame + 5, &[0xff; 4]), pixels),
        hostile(
            "gif-frame-outside",
            with(&gif, frame + 1, &[0xff; 4]),
            Ending::Any,
        ),
        hostile(
            "gif-empty-frame",
            with(&gif, frame + 5, &[0; 4]),
            Ending::Any,
        ),
        hostile(
            "gif-wrong-code-size",
            with(&gif, frame + 10, &[60]),
            Ending::Any,
        ),
        hostile(
            "gif-no-palette",
            [&gif[..10], &[0], &gif[11..13], &gif[frame..]].concat(),
            Ending::Any,
        ),
        hostile("gif-no-frame", [&gif[..frame], b";"].concat(), truncated),
        hostile(
            "gif-endless-comments",
            [
                &gif[..frame],
                &b"\x21\xfe\xff"[..],
                &vec![255; 5_000_000][..],
            ]
            .concat(),
            Ending::Cut,
        ),
    ]
}
