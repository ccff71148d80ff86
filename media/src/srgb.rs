//! Every variant is sRGB: what comes with a profile is converted, the rest is taken for sRGB.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use crate::picture::{Picture, Pixels};

/// The picture as red, green and blue, with alpha where some of it is transparent.
pub(crate) fn convert(picture: &Picture, profile: Option<&[u8]>) -> Picture {
    let (width, height) = (picture.width, picture.height);
    // A profile that cannot be used is no reason to refuse a picture: browsers ignore it, too.
    let converted = profile.and_then(|profile| by_profile(picture, profile));
    let bytes = converted.unwrap_or_else(|| by_definition(picture));
    let (pixels, bytes) = match picture.pixels.has_alpha() {
        true if bytes.chunks_exact(4).all(|pixel| pixel[3] == 255) => {
            let opaque = bytes.chunks_exact(4).flat_map(|pixel| &pixel[..3]);
            (Pixels::Rgb, opaque.copied().collect())
        }
        true => (Pixels::Rgba, bytes),
        false => (Pixels::Rgb, bytes),
    };
    Picture {
        width,
        height,
        pixels,
        bytes,
    }
}

fn by_profile(picture: &Picture, profile: &[u8]) -> Option<Vec<u8>> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    let (layout, to) = match (picture.pixels, profile.color_space) {
        (Pixels::Rgb, DataColorSpace::Rgb) => (Layout::Rgb, Layout::Rgb),
        (Pixels::Rgba, DataColorSpace::Rgb) => (Layout::Rgba, Layout::Rgba),
        (Pixels::Gray, DataColorSpace::Gray) => (Layout::Gray, Layout::Rgb),
        (Pixels::GrayAlpha, DataColorSpace::Gray) => (Layout::GrayAlpha, Layout::Rgba),
        // Four inks lie in memory as four channels do.
        (Pixels::Cmyk, DataColorSpace::Cmyk) => (Layout::Rgba, Layout::Rgb),
        _ => return None,
    };
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let transform = profile
        .create_transform_8bit(layout, &srgb, to, options)
        .ok()?;
    let count = picture.bytes.len() / picture.pixels.channels();
    let mut bytes = vec![0; count * to.channels()];
    transform.transform(&picture.bytes, &mut bytes).ok()?;
    Some(bytes)
}

fn by_definition(picture: &Picture) -> Vec<u8> {
    let bytes = picture.bytes.as_slice();
    match picture.pixels {
        Pixels::Rgb | Pixels::Rgba => bytes.to_vec(),
        Pixels::Gray => bytes.iter().flat_map(|gray| [*gray; 3]).collect(),
        Pixels::GrayAlpha => {
            let pixels = bytes.chunks_exact(2);
            pixels.flat_map(|it| [it[0], it[0], it[0], it[1]]).collect()
        }
        Pixels::Cmyk => {
            let pixels = bytes.chunks_exact(4);
            pixels
                .flat_map(|ink| [0, 1, 2].map(|at| paper(ink[at], ink[3])))
                .collect()
        }
    }
}

/// How much light a colour and black leave of white paper.
fn paper(ink: u8, black: u8) -> u8 {
    let light = u16::from(255 - ink) * u16::from(255 - black);
    u8::try_from((light + 127) / 255).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(pixels: Pixels, bytes: &[u8]) -> Picture {
        Picture {
            width: u32::try_from(bytes.len() / pixels.channels()).expect("small"),
            height: 1,
            pixels,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn inks_leave_what_paper_reflects() {
        let inks = picture(Pixels::Cmyk, &[0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255]);

        assert_eq!(
            convert(&inks, None).bytes,
            [255, 255, 255, 0, 255, 255, 0, 0, 0]
        );
    }

    #[test]
    fn alpha_that_hides_nothing_is_dropped() {
        let opaque = convert(&picture(Pixels::GrayAlpha, &[9, 255, 8, 255]), None);
        let not = convert(&picture(Pixels::GrayAlpha, &[9, 255, 8, 254]), None);

        assert_eq!((opaque.pixels, opaque.bytes.len()), (Pixels::Rgb, 6));
        assert_eq!((not.pixels, not.bytes.len()), (Pixels::Rgba, 8));
    }

    #[test]
    fn a_profile_is_honoured_and_nonsense_ignored() {
        let profile = ColorProfile::new_display_p3()
            .encode()
            .expect("it is complete");
        let green = picture(Pixels::Rgb, &[60, 200, 60]);

        let converted = convert(&green, Some(&profile)).bytes;

        // The green of P3 is stronger than that of sRGB: less red and more green.
        assert!(converted[0] < 30 && converted[1] > 200, "{converted:?}");
        assert_eq!(convert(&green, Some(b"nonsense")).bytes, green.bytes);
    }
}
