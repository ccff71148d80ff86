//! Over 300 files that somebody might send to break what decodes images. Always the same ones.

mod jpegs;
#[cfg(feature = "more-formats")]
pub(crate) mod more;
mod pngs;
mod strangers;
mod webps_and_gifs;

use jpeg_encoder::ColorType;

use super::pictures;

/// What must come of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Variants.
    Made,
    /// This code.
    Code(&'static str),
    /// Not half a picture: `truncated`, or `corrupt` where that cannot be told apart.
    Cut,
    /// Variants, or any code that blames the image: a changed bit may mean nothing.
    Any,
}

/// A file of the corpus.
pub(crate) struct Hostile {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ending: Ending,
}

fn hostile(name: impl Into<String>, bytes: Vec<u8>, ending: Ending) -> Hostile {
    Hostile {
        name: name.into(),
        bytes,
        ending,
    }
}

/// All files.
pub(crate) fn all() -> Vec<Hostile> {
    let mut files = Vec::new();
    for (name, bytes) in valid() {
        files.extend(cut(name, &bytes));
        files.extend(flipped(name, &bytes));
        files.push(hostile(
            format!("{name}-named-otherwise"),
            bytes,
            Ending::Made,
        ));
    }
    files.extend(strangers::files());
    files.extend(jpegs::files());
    files.extend(pngs::files());
    files.extend(webps_and_gifs::files());
    #[cfg(feature = "more-formats")]
    files.extend(more::files());
    files.extend(polyglots());
    files
}

/// What is broken, cut and flipped.
fn valid() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("jpeg", pictures::jpeg(|_| {})),
        (
            "jpeg-restarts",
            pictures::jpeg(|encoder| encoder.set_restart_interval(2)),
        ),
        (
            "jpeg-progressive",
            pictures::jpeg(|encoder| encoder.set_progressive(true)),
        ),
        ("jpeg-gray", pictures::gray_jpeg()),
        ("jpeg-cmyk", pictures::cmyk_jpeg(ColorType::Cmyk)),
        ("png", pictures::rgb_png()),
        ("png-alpha", pictures::rgba_png()),
        ("png-palette", pictures::palette_png()),
        ("png-deep", pictures::deep_png()),
        ("png-interlaced", pictures::interlaced_png()),
        ("webp", pictures::webp(false)),
        ("webp-lossless", pictures::webp(true)),
        ("webp-alpha", pictures::alpha_webp()),
        ("webp-animated", pictures::animated_webp(2)),
        ("gif", pictures::gif(1)),
        #[cfg(feature = "more-formats")]
        ("bmp", more::bmp()),
        #[cfg(feature = "more-formats")]
        ("tiff", more::tiff()),
    ]
}

/// Ends within the picture, at eight places.
fn cut(name: &str, bytes: &[u8]) -> Vec<Hostile> {
    let at = |eighth: usize| {
        let length = (bytes.len() * eighth / 9).max(13);
        hostile(
            format!("{name}-cut-{eighth}"),
            bytes[..length].to_vec(),
            Ending::Cut,
        )
    };
    (1..=8).map(at).collect()
}

/// A few bits changed, in twelve ways: four in the head, four anywhere, four everywhere.
fn flipped(name: &str, bytes: &[u8]) -> Vec<Hostile> {
    let mut state = 0x9e37_79b9_u32;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    let mut files = Vec::new();
    for at in 0..12 {
        let mut bytes = bytes.to_vec();
        let (count, below) = match at {
            0..4 => (3, bytes.len().min(600)),
            4..8 => (10, bytes.len()),
            _ => (bytes.len() / 50, bytes.len()),
        };
        for _ in 0..count {
            // The first bytes say what it is; others there mean another file.
            let place = 12.max(random(below));
            bytes[place] ^= 1 << random(8);
        }
        files.push(hostile(format!("{name}-flipped-{at}"), bytes, Ending::Any));
    }
    files
}

/// `bytes` with others in place of those at `at`.
fn with(bytes: &[u8], at: usize, others: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + others.len()].copy_from_slice(others);
    bytes
}

/// Images that are something else, too: what is read is the image, and what is written only pixels.
fn polyglots() -> Vec<Hostile> {
    let script = b"*/=1;alert(1);/*<script>alert(1)</script>";
    let zip = b"PK\x03\x04\x14\0\0\0\0\0evil.exePK\x05\x06\0\0\0\0";
    let mut files = Vec::new();
    for (name, bytes) in valid() {
        // A WebP says how long it is, and whatever follows is not it.
        let script_behind = [&bytes[..], script].concat();
        files.push(hostile(
            format!("{name}-and-script"),
            script_behind,
            Ending::Made,
        ));
        files.push(hostile(
            format!("{name}-and-zip"),
            [&bytes[..], zip].concat(),
            Ending::Made,
        ));
        let behind = [&b"%PDF-1.7\n"[..], &bytes].concat();
        files.push(hostile(
            format!("pdf-and-{name}"),
            behind,
            Ending::Code("unsupported_type"),
        ));
    }
    files
}
