//! JPEGs that contradict themselves, or go on for ever.

use super::{Ending, Hostile, hostile, with};
use crate::pictures;

/// A JPEG segment.
fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).expect("short").to_be_bytes();
    [&[0xff, marker], &length[..], body].concat()
}

/// Where the first segment with `marker` begins.
fn find(bytes: &[u8], marker: u8) -> usize {
    let mut at = 2;
    while bytes[at + 1] != marker {
        at += 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    }
    at
}

#[expect(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn files() -> Vec<Hostile> {
    let jpeg = pictures::jpeg(|_| {});
    let (frame, scan) = (find(&jpeg, 0xc0), find(&jpeg, 0xda));
    let (corrupt, nobody) = (Ending::Code("corrupt"), Ending::Code("unsupported_type"));
    let after_start = |segments: &[u8]| [&jpeg[..2], segments, &jpeg[2..]].concat();
    let profile = |parts: u8| -> Vec<u8> {
        let part = |number| [b"ICC_PROFILE\0", &[number, parts][..], &vec![7; 60_000][..]].concat();
        (1..=parts)
            .flat_map(|number| segment(0xe2, &part(number)))
            .collect()
    };
    let far = b"Exif\0\0MM\0*\xff\xff\xff\xf0";
    // A directory that has itself as the next one.
    let cycle = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08\0\0\0\x08";
    let xmp = segment(
        0xe1,
        &[
            &b"http://ns.adobe.com/xap/1.0/\0"[..],
            &vec![b'x'; 60_000][..],
        ]
        .concat(),
    );
    let comments = segment(0xfe, &vec![b'c'; 65_000][..]);
    let mut files = vec![
        hostile(
            "jpeg-bomb",
            with(&jpeg, frame + 5, &[0xff, 0xdc, 0xff, 0xdc]),
            Ending::Code("too_many_pixels"),
        ),
        hostile(
            "jpeg-tall",
            with(&jpeg, frame + 5, &[0xff, 0xdc]),
            Ending::Cut,
        ),
        hostile(
            "jpeg-wide",
            with(&jpeg, frame + 7, &[0xff, 0xdc]),
            Ending::Cut,
        ),
        hostile("jpeg-no-height", with(&jpeg, frame + 5, &[0, 0]), corrupt),
        hostile("jpeg-no-width", with(&jpeg, frame + 7, &[0, 0]), corrupt),
        hostile("jpeg-twelve-bits", with(&jpeg, frame + 4, &[12]), nobody),
        hostile(
            "jpeg-many-components",
            with(&jpeg, frame + 9, &[255]),
            corrupt,
        ),
        hostile("jpeg-no-components", with(&jpeg, frame + 9, &[0]), nobody),
        hostile("jpeg-sampled-0", with(&jpeg, frame + 11, &[0]), corrupt),
        hostile("jpeg-sampled-15", with(&jpeg, frame + 11, &[0xff]), corrupt),
        hostile(
            "jpeg-sampled-unevenly",
            with(&jpeg, frame + 14, &[0x33]),
            nobody,
        ),
        hostile("jpeg-quantum-9", with(&jpeg, frame + 12, &[9]), corrupt),
        hostile(
            "jpeg-quantum-missing",
            with(&jpeg, frame + 12, &[3]),
            corrupt,
        ),
        hostile("jpeg-arithmetic", with(&jpeg, frame + 1, &[0xc9]), nobody),
        hostile("jpeg-lossless", with(&jpeg, frame + 1, &[0xc3]), nobody),
        hostile(
            "jpeg-said-to-be-progressive",
            with(&jpeg, frame + 1, &[0xc2]),
            corrupt,
        ),
        hostile("jpeg-scan-of-nobody", with(&jpeg, scan + 5, &[99]), corrupt),
        hostile(
            "jpeg-scan-twice",
            with(&jpeg, scan + 7, &[jpeg[scan + 5]]),
            corrupt,
        ),
        hostile("jpeg-table-9", with(&jpeg, scan + 6, &[0x99]), corrupt),
        hostile(
            "jpeg-table-missing",
            with(&jpeg, scan + 6, &[0x33]),
            corrupt,
        ),
        hostile(
            "jpeg-two-frames",
            [&jpeg[..scan], &jpeg[frame..frame + 19], &jpeg[scan..]].concat(),
            corrupt,
        ),
        hostile(
            "jpeg-scan-first",
            [&jpeg[..2], &jpeg[scan..]].concat(),
            corrupt,
        ),
        hostile(
            "jpeg-late-height",
            after_start(&segment(0xdc, &[0, 9])),
            nobody,
        ),
        hostile(
            "jpeg-restarts-promised",
            after_start(&segment(0xdd, &[0, 1])),
            corrupt,
        ),
        hostile(
            "jpeg-codes-overflow",
            after_start(&segment(0xc4, &[&[0][..], &[255; 16], &[1; 200]].concat())),
            corrupt,
        ),
        hostile(
            "jpeg-segment-of-0",
            after_start(&[0xff, 0xe5, 0, 0]),
            corrupt,
        ),
        hostile(
            "jpeg-profile-of-5-megabytes",
            after_start(&profile(90)),
            Ending::Code("too_much_metadata"),
        ),
        hostile(
            "jpeg-100000-profile-parts",
            after_start(&segment(0xe2, b"ICC_PROFILE\0\x01\x01").repeat(100_000)),
            Ending::Code("too_much_metadata"),
        ),
        hostile(
            "jpeg-profile-of-nonsense",
            after_start(&profile(2)),
            Ending::Made,
        ),
        hostile(
            "jpeg-exif-far",
            after_start(&segment(0xe1, far)),
            Ending::Made,
        ),
        hostile(
            "jpeg-exif-cycle",
            after_start(&segment(0xe1, cycle)),
            Ending::Made,
        ),
        hostile(
            "jpeg-xmp-of-10-megabytes",
            after_start(&xmp.repeat(175)),
            Ending::Made,
        ),
        hostile(
            "jpeg-comments-of-20-megabytes",
            after_start(&comments.repeat(310)),
            Ending::Made,
        ),
        hostile(
            "jpeg-filled-with-ff",
            [&jpeg[..2], &[0xff; 1_000_000], &jpeg[3..]].concat(),
            Ending::Made,
        ),
        hostile(
            "jpeg-grown",
            [&jpeg[..], &[0; 70 << 20]].concat(),
            Ending::Code("too_many_bytes"),
        ),
    ];
    files.extend(scans());
    files
}

/// Progressive pictures that are read over and over.
fn scans() -> Vec<Hostile> {
    let jpeg = pictures::jpeg(|encoder| encoder.set_progressive(true));
    let (frame, scan) = (find(&jpeg, 0xc2), find(&jpeg, 0xda));
    // A scan of one coefficient of the first component, with nothing but a long run of empty blocks.
    let table = segment(0xc4, &[&[0x10][..], &[1], &[0; 15], &[0xe0]].concat());
    let again = [&segment(0xda, &[1, 1, 0, 1, 1, 0])[..], &[0; 40]].concat();
    let many = |times: usize| {
        [
            &jpeg[..jpeg.len() - 2],
            &table,
            &again.repeat(times),
            &[0xff, 0xd9],
        ]
        .concat()
    };
    // 63 megapixels with one scan that is cut, and many that say nothing.
    let large = with(&many(90), frame + 5, &[0x1f, 0x00, 0x1f, 0x00]);
    vec![
        hostile("jpeg-1000-scans", many(1000), Ending::Code("too_slow")),
        hostile("jpeg-90-scans-of-63-megapixels", large, Ending::Any),
        hostile(
            "jpeg-no-first-scan",
            [&jpeg[..scan], &table, &again, &[0xff, 0xd9]].concat(),
            Ending::Code("corrupt"),
        ),
        hostile(
            "jpeg-progressive-without-end",
            jpeg[..jpeg.len() - 2].to_vec(),
            Ending::Cut,
        ),
    ]
}
