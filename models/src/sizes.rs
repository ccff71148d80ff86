//! The sizes that thumbnails are made in.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    words,
};

/// The longest side of a thumbnail, in pixels.
pub const SIDE_MAX: u32 = 2_048;
/// The most sizes that are asked for at once.
pub const SIZES_MAX: usize = 8;

words! {
    /// How a picture is put into a box.
    Fit {
        /// All of it is there; one side may be shorter than the box.
        Inside = "inside",
        /// It fills the box; what sticks out is cut off evenly.
        Cover = "cover",
    }
}

words! {
    /// A size with a name.
    Preset {
        /// 96 x 96, filled.
        Avatar = "avatar",
        /// 320 wide or high.
        Card = "card",
        /// 1,080 wide or high.
        Cover = "cover",
    }
}

/// A box that a picture is put into. It is never made larger than it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// The width of the box, in pixels.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// How the picture is put into it.
    pub fit: Fit,
}

/// A size and the name by which its variants are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// `card`, or `640x480` or `640x480-cover`.
    pub name: String,
    /// The size.
    #[serde(flatten)]
    pub size: Size,
}

impl Preset {
    /// The size.
    pub const fn size(self) -> Size {
        let (side, fit) = match self {
            Self::Avatar => (96, Fit::Cover),
            Self::Card => (320, Fit::Inside),
            Self::Cover => (1_080, Fit::Inside),
        };
        Size {
            width: side,
            height: side,
            fit,
        }
    }

    /// The size with its name.
    pub fn named(self) -> Named {
        Named {
            name: self.as_str().to_owned(),
            size: self.size(),
        }
    }
}

impl Size {
    /// Refuses sides of nothing and sides longer than [`SIDE_MAX`].
    pub fn check(&self) -> Result<()> {
        for (side, name) in [(self.width, "/width"), (self.height, "/height")] {
            if !(1..=SIDE_MAX).contains(&side) {
                return Err(Error::invalid(name, "must be from 1 to 2048"));
            }
        }
        Ok(())
    }

    /// The size with a name of its own.
    pub fn named(self) -> Named {
        let Self { width, height, fit } = self;
        let name = match fit {
            Fit::Inside => format!("{width}x{height}"),
            Fit::Cover => format!("{width}x{height}-cover"),
        };
        Named { name, size: self }
    }
}

/// What is made of every picture.
pub fn standard() -> Vec<Named> {
    Preset::ALL.iter().map(|preset| preset.named()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_was_asked_for() {
        let size = |fit| Size {
            width: 640,
            height: 480,
            fit,
        };

        assert_eq!(size(Fit::Inside).named().name, "640x480");
        assert_eq!(size(Fit::Cover).named().name, "640x480-cover");
        let names: Vec<_> = standard().into_iter().map(|named| named.name).collect();
        assert_eq!(names, ["avatar", "card", "cover"]);
    }

    #[test]
    fn sides_have_bounds() {
        for (width, height, refused) in [(0, 1, true), (1, 2_049, true), (2_048, 1, false)] {
            let size = Size {
                width,
                height,
                fit: Fit::Inside,
            };
            assert_eq!(size.check().is_err(), refused, "{size:?}");
        }
    }
}
