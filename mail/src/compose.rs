//! Turns the blocks of a letter into two templates that say the same: MJML and plain text.

use crate::{
    language::Language,
    source::{Block, Source},
};

/// The head and the frame of every letter; `{LANGUAGE}` and the like are filled in once.
const FRAME: &str = include_str!("../letters/frame.mjml");

/// The letter as MJML, with its variables still to be filled in.
pub(crate) fn mjml(source: &Source, language: Language, refusable: bool) -> String {
    let blocks: String = source.blocks.iter().map(mjml_block).collect();
    FRAME
        .replace("{LANGUAGE}", language.tag())
        .replace("{SUBJECT}", &source.subject)
        .replace("{PREHEADER}", &source.preheader)
        .replace("{BLOCKS}", &blocks)
        .replace("{WHY}", language.why(refusable))
        .replace("{UNSUBSCRIBE}", language.unsubscribe())
}

fn mjml_block(block: &Block) -> String {
    match block {
        Block::Heading(text) => {
            format!("<mj-text mj-class=\"heading\"><h1>{text}</h1></mj-text>\n")
        }
        Block::Paragraph(text) => format!("<mj-text>{text}</mj-text>\n"),
        Block::Small(text) => format!("<mj-text mj-class=\"small\">{text}</mj-text>\n"),
        Block::List(entries) => {
            let entries = entries.join("</li><li>");
            format!("<mj-text><ul><li>{entries}</li></ul></mj-text>\n")
        }
        Block::Lines(name) => format!(
            "<mj-text><ul>{{% for line in {name} %}}<li>{{{{ line }}}}</li>{{% endfor %}}</ul></mj-text>\n"
        ),
        Block::Button(label) => format!("<mj-button href=\"{{{{ link }}}}\">{label}</mj-button>\n"),
    }
}

/// The letter as plain text, with its variables still to be filled in.
pub(crate) fn text(source: &Source, language: Language, refusable: bool) -> String {
    let mut blocks: Vec<String> = source.blocks.iter().map(text_block).collect();
    let unsubscribe = language.unsubscribe();
    blocks.push(format!(
        "-- \n{}{{% if unsubscribe %}}\n{unsubscribe}: {{{{ unsubscribe }}}}{{% endif %}}\n",
        language.why(refusable)
    ));
    blocks.join("\n\n")
}

fn text_block(block: &Block) -> String {
    match block {
        Block::Heading(text) | Block::Paragraph(text) | Block::Small(text) => text.clone(),
        Block::List(entries) => {
            let entries = entries.iter().map(|entry| format!("- {entry}"));
            entries.collect::<Vec<_>>().join("\n")
        }
        Block::Lines(name) => {
            format!("{{% for line in {name} %}}- {{{{ line }}}}\n{{% endfor %}}")
        }
        Block::Button(label) => format!("{label}:\n{{{{ link }}}}"),
    }
}

/// Lines of plain text are no longer than this, in characters, unless a word is.
const WIDTH: usize = 72;

/// Breaks long lines between words; addresses stay whole.
pub(crate) fn wrap(text: &str) -> String {
    let mut wrapped = String::with_capacity(text.len() + text.len() / WIDTH);
    for line in text.trim_end().lines() {
        let mut width = 0;
        for word in line.split(' ') {
            let length = word.chars().count();
            if width > 0 && width + 1 + length > WIDTH {
                wrapped.push('\n');
                width = 0;
            } else if width > 0 {
                wrapped.push(' ');
                width += 1;
            }
            wrapped.push_str(word);
            width += length;
        }
        wrapped.push('\n');
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_stay_whole() {
        let url = format!("https://example.com/{}", "a".repeat(100));

        let wrapped = wrap(&format!("{}end\n\nSee\n{url}", "word ".repeat(20)));

        let lines: Vec<_> = wrapped.lines().collect();
        assert!(
            lines[0].len() <= WIDTH && lines[0].ends_with("word"),
            "{wrapped}"
        );
        assert_eq!(lines.last(), Some(&url.as_str()));
        assert!(wrapped.contains("end\n\nSee\n"));
        assert_eq!(
            wrap("a\n\n-- \nb"),
            "a\n\n-- \nb\n",
            "how readers know a signature"
        );
    }
}
