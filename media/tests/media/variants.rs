//! What comes out.

use std::{fs, path::Path};

use jpeg_encoder::{ColorType, SamplingFactor};
use media::{Fit, Format, Made, Wanted};

#[cfg(feature = "more-formats")]
use super::corpus;
use super::{
    inside, make,
    pictures::{self, SIDES},
    pool,
};

/// The pixels of the WebP variant called `name`.
fn pixels(made: &Made, name: &str) -> Vec<u8> {
    let is = |it: &&media::Variant| it.name == name && it.format == Format::Webp;
    let variant = made.variants.iter().find(is).expect("it was asked for");
    let bytes = fs::read(&variant.path).expect("it was written");
    let (pixels, width, height) = webpx::decode_rgba(&bytes).expect("a WebP");
    assert_eq!([width, height], [variant.width, variant.height]);
    assert_eq!(bytes.len() as u64, variant.bytes);
    pixels
}

/// The mean difference of colours that can be seen.
fn difference(rgba: &[u8], rgb: &[u8]) -> f64 {
    let pairs = rgba
        .chunks_exact(4)
        .zip(rgb.chunks_exact(3))
        .filter(|(it, _)| it[3] > 0);
    let sums: Vec<f64> = pairs
        .flat_map(|(it, other)| [0, 1, 2].map(|at| f64::from(it[at].abs_diff(other[at]))))
        .collect();
    let count = u32::try_from(sums.len()).expect("a small picture");
    sums.iter().sum::<f64>() / f64::from(count)
}

async fn of(bytes: &[u8]) -> (Made, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let wanted = [
        inside("full", 4096),
        inside("half", 101),
        inside("small", 32),
    ];
    let made = make(&pool(), folder.path(), bytes, &wanted)
        .await
        .expect("it is valid");
    (made, folder)
}

#[tokio::test]
async fn every_kind_of_image_becomes_the_drawing() {
    let sampled = |sampling| pictures::jpeg(|encoder| encoder.set_sampling_factor(sampling));
    let images = [
        ("JPEG", pictures::jpeg(|_| {})),
        ("JPEG 4:4:4", sampled(SamplingFactor::F_1_1)),
        ("JPEG 4:2:2", sampled(SamplingFactor::F_2_1)),
        ("JPEG 4:4:0", sampled(SamplingFactor::F_1_2)),
        ("JPEG 4:1:1", sampled(SamplingFactor::F_4_1)),
        (
            "JPEG with restarts",
            pictures::jpeg(|encoder| encoder.set_restart_interval(3)),
        ),
        (
            "progressive JPEG",
            pictures::jpeg(|encoder| encoder.set_progressive(true)),
        ),
        (
            "progressive JPEG in twelve scans",
            pictures::jpeg(|encoder| encoder.set_progressive_scans(12)),
        ),
        ("CMYK JPEG", pictures::cmyk_jpeg(ColorType::Cmyk)),
        ("YCCK JPEG", pictures::cmyk_jpeg(ColorType::CmykAsYcck)),
        (
            "JPEG of JFIF and of Adobe's RGB",
            pictures::jpeg(|encoder| {
                let adobe = b"Adobe\0\x64\0\0\0\0\0".to_vec();
                encoder.add_app_segment(14, adobe).expect("it fits");
            }),
        ),
        (
            "YCCK JPEG of an unusual transform",
            pictures::jpeg_of(&pictures::inks(), ColorType::CmykAsYcck, |encoder| {
                let adobe = b"Adobe\0\x64\0\0\0\0\x01".to_vec();
                encoder.add_app_segment(14, adobe).expect("it fits");
            }),
        ),
        ("PNG", pictures::rgb_png()),
        ("PNG with alpha", pictures::rgba_png()),
        ("PNG of 16 bits", pictures::deep_png()),
        ("interlaced PNG", pictures::interlaced_png()),
        ("WebP", pictures::webp(false)),
        ("lossless WebP", pictures::webp(true)),
        ("WebP with alpha", pictures::alpha_webp()),
        ("animated WebP", pictures::animated_webp(3)),
        #[cfg(feature = "more-formats")]
        ("BMP", corpus::more::bmp()),
        #[cfg(feature = "more-formats")]
        ("TIFF", corpus::more::tiff()),
        #[cfg(feature = "more-formats")]
        ("TIFF of 16 bits", corpus::more::deep_tiff()),
    ];

    for (kind, bytes) in images {
        let (made, _folder) = of(&bytes).await;

        assert_eq!([made.width, made.height], SIDES.map(u32::from), "{kind}");
        assert_eq!(made.variants.len(), 6, "{kind}");
        let off = difference(&pixels(&made, "full"), &pictures::drawing());
        assert!(off < 4.0, "{kind} is off by {off}");
    }
}

#[tokio::test]
async fn gray_and_few_colours_are_read_too() {
    for (kind, bytes, colours) in [
        ("gray JPEG", pictures::gray_jpeg(), pictures::gray_colours()),
        ("GIF", pictures::gif(3), pictures::gif_colours()),
        (
            "PNG with a palette",
            pictures::palette_png(),
            pictures::palette_colours(),
        ),
    ] {
        let (made, _folder) = of(&bytes).await;

        // Hard edges lose more of their colour in a WebP than smooth pictures do.
        let off = difference(&pixels(&made, "full"), &colours);
        assert!(off < 6.0, "{kind} is off by {off}");
    }
}

#[tokio::test]
async fn a_progressive_jpeg_is_the_same_picture() {
    let (plain, _one) = of(&pictures::jpeg(|_| {})).await;
    let (progressive, _two) = of(&pictures::jpeg(|encoder| encoder.set_progressive(true))).await;

    for name in ["full", "half", "small"] {
        assert_eq!(pixels(&plain, name), pixels(&progressive, name), "{name}");
    }
    assert_eq!(plain.thumbhash, progressive.thumbhash);
}

/// The drawing as each EXIF orientation stores it comes out upright.
#[tokio::test]
async fn the_orientation_is_applied() {
    let [width, height] = SIDES.map(usize::from);
    let drawing = pictures::drawing();
    // Stored upside down, which is orientation 3, and on its side, which is 6.
    let turned: Vec<u8> = drawing.chunks_exact(3).rev().flatten().copied().collect();
    let side = |at: usize| {
        let (x, y) = (at % height, at / height);
        let from = (x * width + (width - 1 - y)) * 3;
        drawing[from..from + 3].to_vec()
    };
    let on_side: Vec<u8> = (0..width * height).flat_map(side).collect();
    for (orientation, stored, sides) in [(3, turned, SIDES), (6, on_side, [SIDES[1], SIDES[0]])] {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 92);
        encoder
            .add_app_segment(1, exif(orientation))
            .expect("it fits");
        encoder
            .encode(&stored, sides[0], sides[1], ColorType::Rgb)
            .expect("a JPEG");

        let (made, _folder) = of(&bytes).await;

        assert_eq!([made.width, made.height], SIDES.map(u32::from));
        let off = difference(&pixels(&made, "full"), &drawing);
        assert!(off < 4.0, "orientation {orientation} is off by {off}");
    }
}

fn exif(orientation: u8) -> Vec<u8> {
    let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0";
    [b"Exif\0\0", &tiff[..], &[orientation, 0, 0]].concat()
}

#[tokio::test]
async fn nothing_but_pixels_is_written() {
    let bytes = pictures::jpeg(|encoder| {
        encoder
            .add_app_segment(1, [&exif(1)[..], b"GPS 52.5"].concat())
            .expect("it fits");
        encoder.add_icc_profile(&[7; 200]).expect("it fits");
    });

    let (made, _folder) = of(&bytes).await;

    for variant in &made.variants {
        let bytes = fs::read(&variant.path).expect("it was written");
        for word in ["Exif", "EXIF", "GPS", "ICC_PROFILE", "ICCP", "XMP", "http"] {
            let found = bytes
                .windows(word.len())
                .any(|window| window == word.as_bytes());
            assert!(!found, "{word} in {variant:?}");
        }
    }
}

#[tokio::test]
async fn transparency_is_kept_and_white_in_jpeg() {
    let (made, _folder) = of(&pictures::rgba_png()).await;

    let rgba = pixels(&made, "small");
    assert_eq!([rgba[3], rgba[32 * 4 - 1]], [255, 0]);
    let jpeg = made
        .variants
        .iter()
        .find(|it| it.name == "small" && it.format == Format::Jpeg);
    let source = jpeg.expect("it was asked for").path.clone();
    let again = tempfile::tempdir().expect("a folder");
    let wanted = [inside("again", 32)];
    let made = pool()
        .variants(&source, &wanted, again.path())
        .await
        .expect("it is valid");
    let rgba = pixels(&made, "again");
    assert!(
        rgba[31 * 4..32 * 4].iter().all(|channel| *channel > 245),
        "{:?}",
        &rgba[31 * 4..32 * 4]
    );
}

#[tokio::test]
async fn the_sizes_are_those_that_were_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let wanted = [
        Wanted {
            fit: Fit::Cover,
            ..inside("avatar", 64)
        },
        Wanted {
            width: 160,
            height: 90,
            fit: Fit::Cover,
            ..inside("card", 1)
        },
        inside("page", 150),
    ];

    let made = make(&pool(), folder.path(), &pictures::webp(false), &wanted)
        .await
        .expect("valid");

    let sizes: Vec<_> = made
        .variants
        .iter()
        .map(|it| (it.name.as_str(), it.width, it.height))
        .collect();
    assert_eq!(
        sizes,
        [
            ("avatar", 64, 64),
            ("avatar", 64, 64),
            ("card", 160, 90),
            ("card", 160, 90),
            ("page", 150, 89),
            ("page", 150, 89)
        ]
    );
    assert!(
        made.variants
            .iter()
            .all(|it| it.path.parent() == Some(folder.path()))
    );
    assert!(
        made.colour.starts_with('#') && made.thumbhash.len() >= 20,
        "{made:?}"
    );
}

#[tokio::test]
async fn a_missing_source_is_no_fault_of_an_image() {
    let nowhere = Path::new("/nowhere/at/all");

    let error = pool()
        .variants(nowhere, &[inside("a", 9)], nowhere)
        .await
        .expect_err("missing");

    assert_eq!(
        (error.code(), error.is_permanent()),
        ("files_unavailable", false)
    );
}
