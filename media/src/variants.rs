//! The whole way of an image: file, picture, sizes, files.

use std::{
    borrow::Cow,
    cmp::Reverse,
    collections::BTreeMap,
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
    let (mut sizes, mut steps) = (Vec::new(), Vec::new());
    let (header, decoded) = decode(
        BufReader::with_capacity(READ_BYTES, file),
        limits,
        |header| {
            let upright = header.orientation.sides([header.width, header.height]);
            sizes = wanted.iter().map(|wanted| wanted.sizes(upright)).collect();
            steps = plan(&sizes);
            let largest = steps.first().map_or([1, 1], |step| step.whole);
            header.orientation.sides(largest)
        },
    )?;
    let picture = srgb::convert(&decoded, header.profile.as_deref()).upright(header.orientation);
    drop(decoded);
    let (made, smallest) = make(picture, &steps, wanted, &sizes, out)?;
    let (thumbhash, colour) = placeholder(&smallest)?;
    let [width, height] = header.orientation.sides([header.width, header.height]);
    Ok(Made {
        variants: made,
        thumbhash,
        colour,
        width,
        height,
    })
}

/// The whole picture in a size that is wanted.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    whole: [u32; 2],
    /// The step whose picture is made smaller; the first is decoded in its size.
    from: usize,
}

/// Every size once, the largest first.
fn plan(sizes: &[Sizes]) -> Vec<Step> {
    let area = |[width, height]: [u32; 2]| u64::from(width) * u64::from(height);
    let mut wholes: Vec<[u32; 2]> = sizes.iter().map(|sizes| sizes.whole).collect();
    wholes.sort_by_key(|whole| Reverse(area(*whole)));
    let mut steps: Vec<Step> = Vec::new();
    for whole in wholes {
        if steps.iter().any(|step| step.whole == whole) {
            continue;
        }
        let enough = |step: &Step| step.whole[0] * 10 >= whole[0] * CASCADE_TENTHS;
        let from = steps.iter().rposition(enough).unwrap_or(0);
        steps.push(Step { whole, from });
    }
    steps
}

/// Writes the variants, in the order in which they are wanted, and gives the smallest picture back.
/// Of the larger ones those stay in memory that others are still made from.
fn make(
    largest: Picture,
    steps: &[Step],
    wanted: &[Wanted],
    sizes: &[Sizes],
    out: &Path,
) -> Result<(Vec<Variant>, Picture)> {
    let mut made = vec![Vec::new(); wanted.len()];
    let mut kept = BTreeMap::new();
    let mut picture = largest;
    for (at, step) in steps.iter().enumerate() {
        if at > 0 {
            kept.insert(at - 1, picture);
            kept.retain(|earlier, _| steps[at..].iter().any(|step| step.from == *earlier));
            let from = kept
                .get(&step.from)
                .expect("an earlier step, which was kept");
            picture = resize(from, step.whole)?;
        }
        let of_step = sizes.iter().zip(wanted).zip(&mut made);
        for ((sizes, wanted), made) in of_step.filter(|((sizes, _), _)| sizes.whole == step.whole) {
            *made = write(wanted, &cut(&picture, sizes.kept), out)?;
        }
    }
    Ok((made.into_iter().flatten().collect(), picture))
}

fn cut(picture: &Picture, [width, height]: [u32; 2]) -> Cow<'_, Picture> {
    if [picture.width, picture.height] == [width, height] {
        Cow::Borrowed(picture)
    } else {
        Cow::Owned(picture.centre(width, height))
    }
}

fn write(wanted: &Wanted, picture: &Picture, out: &Path) -> Result<Vec<Variant>> {
    let mut made = Vec::new();
    for format in &wanted.formats {
        let bytes = encode(picture, *format)?;
        let name = format!("{}.{}", wanted.name, format.extension());
        let (path, part) = (out.join(&name), out.join(format!("{name}.part")));
        // Nobody sees half a variant.
        fs::write(&part, &bytes)
            .and_then(|()| fs::rename(&part, &path))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(sides: &[u32]) -> Vec<Sizes> {
        let of = |side: &u32| Sizes {
            whole: [*side, *side],
            kept: [*side, *side],
        };
        sides.iter().map(of).collect()
    }

    #[test]
    fn each_size_is_made_from_the_smallest_that_is_large_enough() {
        let steps = plan(&sizes(&[96, 1080, 320, 96, 200]));

        let steps: Vec<_> = steps
            .iter()
            .map(|step| (step.whole[0], step.from))
            .collect();
        assert_eq!(steps, [(1080, 0), (320, 0), (200, 1), (96, 2)]);
    }
}
