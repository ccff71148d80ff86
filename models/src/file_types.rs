//! What a file is, by its first bytes: what anybody claims about it is not believed.

use crate::words;

words! {
    /// What a file is.
    FileType {
        /// A photograph.
        Jpeg = "image/jpeg",
        /// A picture without loss.
        Png = "image/png",
        /// A picture, or several.
        Gif = "image/gif",
        /// A picture.
        Webp = "image/webp",
        /// A picture.
        Avif = "image/avif",
        /// A picture; thumbnails are made of it with the feature `more-formats`.
        Bmp = "image/bmp",
        /// A picture, often scanned; the same.
        Tiff = "image/tiff",
        /// A document to print.
        Pdf = "application/pdf",
        /// An archive; also what office programs write.
        Zip = "application/zip",
        /// A film.
        Mp4 = "video/mp4",
        /// Sound.
        Mp3 = "audio/mpeg",
        /// Text in UTF-8, whatever it means: a page or a drawing that could run scripts is text.
        Text = "text/plain",
        /// Anything else.
        Binary = "application/octet-stream",
    }
}

impl FileType {
    /// What a file is whose first bytes these are.
    pub fn of(head: &[u8]) -> Self {
        let at =
            |offset: usize, mark: &[u8]| head.get(offset..).is_some_and(|h| h.starts_with(mark));
        match head {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Self::Png,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'R', b'I', b'F', b'F', ..] if at(8, b"WEBP") => Self::Webp,
            [b'%', b'P', b'D', b'F', b'-', ..] => Self::Pdf,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            [b'I', b'D', b'3', ..] | [0xff, 0xfb | 0xf3 | 0xf2, ..] => Self::Mp3,
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Self::Tiff,
            [b'B', b'M', ..] if is_bmp(head) => Self::Bmp,
            _ if at(4, b"ftypavif") || at(4, b"ftypavis") => Self::Avif,
            _ if at(4, b"ftyp") => Self::Mp4,
            _ if is_text(head) => Self::Text,
            _ => Self::Binary,
        }
    }

    /// Whether thumbnails are made of it.
    pub fn is_picture(self) -> bool {
        let more = cfg!(feature = "more-formats") && matches!(self, Self::Bmp | Self::Tiff);
        more || matches!(self, Self::Jpeg | Self::Png | Self::Gif | Self::Webp)
    }

    /// Whether a browser may show it in its place. Anything else is only ever saved.
    pub fn is_shown(self) -> bool {
        matches!(
            self,
            Self::Jpeg | Self::Png | Self::Gif | Self::Webp | Self::Avif | Self::Mp4 | Self::Mp3
        )
    }
}

/// Whether behind the two letters of a BMP, which could be text, is how long one of its headers is.
fn is_bmp(head: &[u8]) -> bool {
    matches!(
        head.get(14..18),
        Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])
    )
}

/// Whether these bytes are text: UTF-8, apart from a character that is cut at the end, without
/// control characters but those that lay text out.
fn is_text(head: &[u8]) -> bool {
    let text = match str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let whole = head.get(..error.valid_up_to()).unwrap_or_default();
            str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let laid_out = |c: char| matches!(c, '\n' | '\r' | '\t' | '\u{c}') || !c.is_control();
    !text.is_empty() && text.chars().all(laid_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide() {
        let cases: [(&[u8], FileType); 18] = [
            (b"\xff\xd8\xff\xe0", FileType::Jpeg),
            (b"\x89PNG\r\n\x1a\n....", FileType::Png),
            (b"GIF89a", FileType::Gif),
            (b"RIFF\0\0\0\0WEBPVP8 ", FileType::Webp),
            (b"RIFF\0\0\0\0WAVE", FileType::Binary),
            (b"\0\0\0\x1cftypavif", FileType::Avif),
            (b"\0\0\0\x1cftypisom", FileType::Mp4),
            (b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", FileType::Bmp),
            (b"BMW and others build cars", FileType::Text),
            (b"II*\0\x08\0\0\0", FileType::Tiff),
            (b"MM\0*\0\0\0\x08", FileType::Tiff),
            (b"%PDF-1.7", FileType::Pdf),
            (b"PK\x03\x04", FileType::Zip),
            (b"<svg onload=alert(1)>", FileType::Text),
            ("<html>größe".as_bytes(), FileType::Text),
            (b"a text that is cut in a letter: \xc3", FileType::Text),
            (b"\x7fELF", FileType::Binary),
            (b"", FileType::Binary),
        ];
        for (head, expected) in cases {
            assert_eq!(FileType::of(head), expected, "{head:?}");
        }
    }

    #[test]
    fn nothing_that_could_run_is_shown() {
        let shown: Vec<_> = FileType::ALL
            .iter()
            .filter(|kind| kind.is_shown())
            .collect();

        assert_eq!(shown.len(), 7, "{shown:?}");
        assert!(!FileType::Text.is_shown() && !FileType::Pdf.is_shown());
    }
}
