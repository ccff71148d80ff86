//! The one thing that is wanted of EXIF: which way is up.

use crate::picture::Orientation;

const ORIENTATION_TAG: u16 = 0x0112;

/// Entries of a directory that are looked at; cameras write the orientation among the first.
const ENTRIES_MAX: u16 = 512;

/// The orientation in a TIFF structure. What cannot be read says nothing: the picture is as it is.
pub(crate) fn orientation(tiff: &[u8]) -> Orientation {
    find(tiff).unwrap_or_default()
}

fn find(tiff: &[u8]) -> Option<Orientation> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        let value = if little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        };
        Some(value)
    };
    let u32_at = |at: usize| {
        let (first, second) = (u32::from(u16_at(at)?), u32::from(u16_at(at + 2)?));
        Some(if little {
            second << 16 | first
        } else {
            first << 16 | second
        })
    };
    let directory = usize::try_from(u32_at(4)?).ok()?;
    let entries = u16_at(directory)?.min(ENTRIES_MAX);
    (0..usize::from(entries))
        .map(|index| directory + 2 + 12 * index)
        .find(|at| u16_at(*at) == Some(ORIENTATION_TAG))
        .and_then(|at| Orientation::from_exif(u16_at(at + 8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_are_read() {
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0";

        assert_eq!(
            orientation(little),
            Orientation::from_exif(6).expect("one of eight")
        );
        assert_eq!(orientation(big), orientation(little));
    }

    #[test]
    fn nonsense_leaves_the_picture_as_it_is() {
        let far = b"II*\0\xff\xff\xff\xff";
        let nine = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0";
        for tiff in [&b""[..], b"II", far, nine] {
            assert_eq!(orientation(tiff), Orientation::default());
        }
    }
}
