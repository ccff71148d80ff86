//! Reads a prose file: two lines of header, then blocks separated by blank lines.
//!
//! ```text
//! Subject: Confirm your address
//! Preheader: One click, and your account is ready.
//!
//! Hello {{ name }},
//!
//! [Confirm my address]
//! ```
//!
//! A block is a paragraph unless its first characters say otherwise: `# ` is a heading, `> ` small
//! print, on each line or on the first, `- ` a list, `* NAME` a list of the lines in that variable, `[LABEL]` the button that
//! leads to the link of the letter.

/// A letter as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) subject: String,
    pub(crate) preheader: String,
    pub(crate) blocks: Vec<Block>,
}

/// A part of a letter. Its text may have variables in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Heading(String),
    Paragraph(String),
    Small(String),
    List(Vec<String>),
    /// The lines of this variable.
    Lines(String),
    /// The label of the button.
    Button(String),
}

impl Source {
    /// Reads a file; nothing when its header is missing.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (subject, rest) = text.strip_prefix("Subject: ")?.split_once('\n')?;
        let (preheader, rest) = rest.strip_prefix("Preheader: ")?.split_once('\n')?;
        let blocks = rest.split("\n\n").map(str::trim);
        Some(Self {
            subject: subject.to_owned(),
            preheader: preheader.to_owned(),
            blocks: blocks.filter(|text| !text.is_empty()).map(block).collect(),
        })
    }
}

fn block(text: &str) -> Block {
    // The lines of a block are wrapped for those who edit it, not for those who read the letter.
    let flow = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(text) = text.strip_prefix("# ") {
        Block::Heading(flow(text))
    } else if let Some(text) = text.strip_prefix("> ") {
        Block::Small(flow(&text.replace("\n> ", "\n")))
    } else if let Some(name) = text.strip_prefix("* ") {
        Block::Lines(name.to_owned())
    } else if text.starts_with("- ") {
        let entries = text.split("- ").map(flow);
        Block::List(entries.filter(|entry| !entry.is_empty()).collect())
    } else if let Some(label) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        Block::Button(flow(label))
    } else {
        Block::Paragraph(flow(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_apart_by_their_first_characters() {
        let text = "Subject: S\nPreheader: P\n\n# Head\n\nOne\ntwo.\n\n- a\n- b\n\n* items\n\n[Go]\n\n> small\n> print\n";

        let source = Source::read(text).expect("it has a header");

        assert_eq!(
            (source.subject.as_str(), source.preheader.as_str()),
            ("S", "P")
        );
        let owned = str::to_owned;
        assert_eq!(
            source.blocks,
            [
                Block::Heading(owned("Head")),
                Block::Paragraph(owned("One two.")),
                Block::List(vec![owned("a"), owned("b")]),
                Block::Lines(owned("items")),
                Block::Button(owned("Go")),
                Block::Small(owned("small print")),
            ]
        );
        assert_eq!(Source::read("Hello"), None);
    }
}
