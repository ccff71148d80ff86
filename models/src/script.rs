//! Which script a word is written in, and whether it passes for a word of another one.

/// The scripts that domains may be written in. One label uses one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Georgian,
    Hebrew,
    Arabic,
    Devanagari,
    Thai,
    /// Han with kana or hangul, which are written together.
    EastAsian,
    Other,
}

/// Lower-case letters of other scripts that are drawn like a Latin letter.
const LOOKALIKES: &str = "авеѕсԁһіјӏкмнорԛгтуѵѡхԝьъёїүѐѓћꙇҽӄᴦոսօցհյքʋԍɡαγηικνορτυχωϲϳ";

/// Whether a label of a domain uses one script and does not pass for Latin in another.
pub(crate) fn is_honest(label: &str) -> bool {
    let mut letters = label.chars().filter(|c| !matches!(c, '0'..='9' | '-'));
    let Some(first) = letters.next().map(script) else {
        return true;
    };
    if first == Script::Other || letters.any(|c| script(c) != first) {
        return false;
    }
    let passes = |c: char| matches!(c, '0'..='9' | '-') || LOOKALIKES.contains(c);
    first == Script::Latin || !label.chars().all(passes)
}

fn script(c: char) -> Script {
    match c {
        'a'..='z' | '\u{df}'..='\u{f6}' | '\u{f8}'..='\u{17f}' | '\u{1e00}'..='\u{1eff}' => {
            Script::Latin
        }
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Script::Greek,
        '\u{400}'..='\u{52f}' => Script::Cyrillic,
        '\u{530}'..='\u{58f}' => Script::Armenian,
        '\u{590}'..='\u{5ff}' => Script::Hebrew,
        '\u{600}'..='\u{6ff}' => Script::Arabic,
        '\u{900}'..='\u{97f}' => Script::Devanagari,
        '\u{e00}'..='\u{e7f}' => Script::Thai,
        '\u{10d0}'..='\u{10ff}' => Script::Georgian,
        '\u{3005}'
        | '\u{3041}'..='\u{30ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}' => Script::EastAsian,
        _ => Script::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_script_a_label_and_no_disguise() {
        for label in [
            "example",
            "bücher",
            "почта",
            "例え",
            "1-2",
            "עברית",
            "ελλάδα",
            "s3-bücket",
        ] {
            assert!(is_honest(label), "{label}");
        }
        for label in ["pаypal", "аррӏе", "gοοgle", "οοο", "a例", "сосо", "ⅰ"] {
            assert!(!is_honest(label), "{label}");
        }
    }
}
