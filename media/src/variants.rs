//! The whole way of an image: file, picture, sizes, files.

use std::{
    cmp::Reverse,
    fs::{self, File},
    io::BufReader,
    path::Path,
};

use crate::{
    decode::decode,
    encode::encode,
    error::{Code, Error, Result},
    limits::Limits,
    picture::Picture,
    placeholder::placeholder,
    resize::resize,
    srgb,
    wanted::{Made, Sizes, Variant, Wanted},
};

/// Bytes read from the source at a time.
const READ_BYTES: usize = 256 << 10;

/// A smaller size is made from the smallest larger one that is still this much larger, in tenths:
/// from one closer by, it would be a blurred copy of a copy.
const CASCADE_TENTHS: u32 = 15;

/// Writes the variants of the image at `source` into the folder `out`.
pub(crate) fn variants(
    source: &Path,
    wanted: &[Wanted],
    out: &Path,
    limits: &Limits,
) -> Result<Made> {
    let unreadable = |error| Error::Files(format!("the source cannot be opened: {error}"));
    let file = File::open(source).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > limits.bytes_max {
        return Err(Error::refused(Code::TooManyBytes, "the file is too large"));
    }
    let mut sizes = Vec::new();
    let (header, picture) = decode(
        BufReader::with_capacity(READ_BYTES, file),
        limits,
        |header| {
            let upright = header.orientation.sides([header.width, header.height]);
            sizes = wanted.iter().map(|wanted| wanted.sizes(upright)).collect();
            header.orientation.sides(largest(&sizes))
        },
    )?;
    let picture = srgb::convert(&picture, header.profile.as_deref()).upright(header.orientation);
    let levels = Levels::new(picture, &sizes)?;
    let mut made = Vec::new();
    for (wanted, sizes) in wanted.iter().zip(&sizes) {
        made.extend(write(wanted, &levels.get(*sizes)?, out)?);
    }
    let (thumbhash, colour) = placeholder(levels.smallest())?;
    let [width, height] = header.orientation.sides([header.width, header.height]);
    Ok(Made {
        variants: made,
        thumbhash,
        colour,
        width,
        height,
    })
}

fn area([width, height]: [u32; 2]) -> u64 {
    u64::from(width) * u64::from(height)
}

/// The size from which all others are made.
fn largest(sizes: &[Sizes]) -> [u32; 2] {
    let wholes = sizes.iter().map(|sizes| sizes.whole);
    wholes.max_by_key(|whole| area(*whole)).unwrap_or([1, 1])
}

/// The whole picture in every size that is needed, the largest first.
struct Levels(Vec<Picture>);

impl Levels {
    fn new(largest: Picture, sizes: &[Sizes]) -> Result<Self> {
        let mut wholes: Vec<[u32; 2]> = sizes.iter().map(|sizes| sizes.whole).collect();
        wholes.sort_by_key(|whole| Reverse(area(*whole)));
        let mut levels = vec![largest];
        for whole in wholes {
            if levels
                .iter()
                .any(|level| [level.width, level.height] == whole)
            {
                continue;
            }
            let enough = |level: &&Picture| level.width * 10 >= whole[0] * CASCADE_TENTHS;
            let from = levels.iter().rev().find(enough).unwrap_or(&levels[0]);
            levels.push(resize(from, whole)?);
        }
        Ok(Self(levels))
    }

    fn get(&self, sizes: Sizes) -> Result<Picture> {
        let same = |level: &&Picture| [level.width, level.height] == sizes.whole;
        let level = self.0.iter().find(same);
        let level = level.ok_or_else(|| Error::Wanted("a size that was not planned".to_owned()))?;
        Ok(level.centre(sizes.kept[0], sizes.kept[1]))
    }

    fn smallest(&self) -> &Picture {
        &self.0[self.0.len() - 1]
    }
}

fn write(wanted: &Wanted, picture: &Picture, out: &Path) -> Result<Vec<Variant>> {
    let mut made = Vec::new();
    for format in &wanted.formats {
        let bytes = encode(picture, *format)?;
        let path = out.join(format!("{}.{}", wanted.name, format.extension()));
        fs::write(&path, &bytes)
            .map_err(|error| Error::Files(format!("a variant cannot be written: {error}")))?;
        made.push(Variant {
            name: wanted.name.clone(),
            format: *format,
            width: picture.width,
            height: picture.height,
            bytes: bytes.len() as u64,
            path,
        });
    }
    Ok(made)
}
