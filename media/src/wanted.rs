//! What is asked for, and what was made.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    limits::{NAME_BYTES_MAX, WANTED_MAX, WANTED_SIDE_MAX},
};

/// How a variant is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Half the bytes; every browser since 2020.
    Webp,
    /// What everything else reads; transparent pixels become white.
    Jpeg,
}

impl Format {
    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Webp => "webp",
            Self::Jpeg => "jpg",
        }
    }
}

/// How a picture of another shape meets the wanted width and height. Nothing is ever enlarged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// All of it, within both.
    Inside,
    /// The middle of it, of exactly this shape.
    Cover,
}

/// A size that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wanted {
    /// The beginning of its files' names: 1 to 40 of `a` to `z`, `0` to `9`, `-` and `_`.
    pub name: String,
    /// Pixels across, 1 to 4096.
    pub width: u32,
    /// Pixels down, 1 to 4096.
    pub height: u32,
    /// What becomes of a picture of another shape.
    pub fit: Fit,
    /// In which formats it is written, each once.
    pub formats: Vec<Format>,
}

impl Wanted {
    /// The size of the whole picture, and of the part in its middle that is kept.
    pub(crate) fn sizes(&self, picture: [u32; 2]) -> Sizes {
        let wanted = [self.width, self.height];
        let ratios = [0, 1].map(|at| f64::from(wanted[at]) / f64::from(picture[at]));
        let scale = match self.fit {
            Fit::Inside => ratios[0].min(ratios[1]),
            Fit::Cover => ratios[0].max(ratios[1]),
        };
        let whole = picture.map(|side| scaled(side, scale.min(1.0), side));
        let kept = match self.fit {
            Fit::Inside => whole,
            Fit::Cover => {
                let ratios = [0, 1].map(|at| f64::from(whole[at]) / f64::from(wanted[at]));
                let scale = ratios[0].min(ratios[1]).min(1.0);
                [0, 1].map(|at| scaled(wanted[at], scale, whole[at]))
            }
        };
        Sizes { whole, kept }
    }
}

/// What a picture is resized to, and what is cut out of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) whole: [u32; 2],
    pub(crate) kept: [u32; 2],
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded by the clamp"
)]
fn scaled(side: u32, scale: f64, most: u32) -> u32 {
    (f64::from(side) * scale)
        .round()
        .clamp(1.0, f64::from(most)) as u32
}

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Of which `Wanted` it is.
    pub name: String,
    /// How it is written.
    pub format: Format,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Its size.
    pub bytes: u64,
    /// Where it lies: `NAME.webp` or `NAME.jpg` in the folder that was given.
    pub path: PathBuf,
}

/// What came of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// In the order in which they were asked for.
    pub variants: Vec<Variant>,
    /// About 25 bytes in base 64 from which a blurred picture is drawn (<https://evanw.github.io/thumbhash>).
    pub thumbhash: String,
    /// The dominant colour as `#rrggbb`.
    pub colour: String,
    /// Pixels across of the image, as it is meant to be seen.
    pub width: u32,
    /// Pixels down of the image, as it is meant to be seen.
    pub height: u32,
}

/// Refuses what nobody can make.
pub(crate) fn check(wanted: &[Wanted]) -> Result<(), Error> {
    if wanted.is_empty() || wanted.len() > WANTED_MAX {
        return Err(Error::Wanted(format!(
            "1 to {WANTED_MAX} sizes, not {}",
            wanted.len()
        )));
    }
    for (at, size) in wanted.iter().enumerate() {
        let name = &size.name;
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(Error::Wanted(format!("the name of size {at}")));
        }
        if wanted[..at].iter().any(|other| other.name == *name) {
            return Err(Error::Wanted(format!("two sizes are called {name}")));
        }
        let sides = 1..=WANTED_SIDE_MAX;
        if !sides.contains(&size.width) || !sides.contains(&size.height) {
            return Err(Error::Wanted(format!(
                "{name} has a side that is not 1 to {WANTED_SIDE_MAX}"
            )));
        }
        if size.formats.is_empty() {
            return Err(Error::Wanted(format!("{name} has no format")));
        }
        let formats = &size.formats;
        if (1..formats.len()).any(|at| formats[..at].contains(&formats[at])) {
            return Err(Error::Wanted(format!("{name} has a format twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, width: u32, height: u32, fit: Fit) -> Wanted {
        Wanted {
            name: name.to_owned(),
            width,
            height,
            fit,
            formats: vec![Format::Webp],
        }
    }

    #[test]
    fn inside_keeps_all_and_the_shape() {
        let sizes = wanted("a", 1080, 1080, Fit::Inside).sizes([4000, 3000]);

        assert_eq!((sizes.whole, sizes.kept), ([1080, 810], [1080, 810]));
    }

    #[test]
    fn cover_cuts_to_the_wanted_shape() {
        let sizes = wanted("a", 400, 400, Fit::Cover).sizes([4000, 3000]);

        assert_eq!((sizes.whole, sizes.kept), ([533, 400], [400, 400]));
    }

    #[test]
    fn nothing_is_enlarged() {
        let inside = wanted("a", 400, 400, Fit::Inside).sizes([300, 200]);
        let cover = wanted("a", 400, 200, Fit::Cover).sizes([300, 200]);

        assert_eq!(inside.kept, [300, 200]);
        assert_eq!((cover.whole, cover.kept), ([300, 200], [300, 150]));
    }

    #[test]
    fn a_line_keeps_a_pixel() {
        let sizes = wanted("a", 96, 96, Fit::Inside).sizes([60_000, 1]);

        assert_eq!(sizes.kept, [96, 1]);
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let fine = wanted("card-2x", 10, 10, Fit::Cover);
        let wrong = [
            vec![],
            vec![fine.clone(); WANTED_MAX + 1],
            vec![fine.clone(), fine.clone()],
            vec![wanted("../up", 10, 10, Fit::Cover)],
            vec![wanted("", 10, 10, Fit::Cover)],
            vec![wanted("a", 0, 10, Fit::Cover)],
            vec![wanted("a", 10, WANTED_SIDE_MAX + 1, Fit::Cover)],
            vec![Wanted {
                formats: vec![],
                ..fine.clone()
            }],
            vec![Wanted {
                formats: vec![Format::Webp, Format::Jpeg, Format::Webp],
                ..fine.clone()
            }],
        ];

        assert!(check(&[fine]).is_ok());
        for wanted in wrong {
            assert!(check(&wanted).is_err(), "{wanted:?}");
        }
    }
}
