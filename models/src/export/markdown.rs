//! The document as Markdown: front matter, lessons with their quizzes, the answers at the end.
//!
//! The text comes from a model and from authors. It is escaped wherever it stands, so that it cannot
//! become a heading, a link, a list or HTML.

use std::fmt::{self, Write};

use serde_json::json;

use super::document::{Document, DocumentLesson, Question};

/// The course as one Markdown file.
pub fn markdown(document: &Document) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write_course(&mut out, document);
    out
}

fn write_course(out: &mut String, document: &Document) -> fmt::Result {
    write_front_matter(out, document)?;
    writeln!(out, "# {}\n", line(&document.title))?;
    write_paragraphs(out, &document.summary)?;
    for module in &document.modules {
        writeln!(out, "## {}\n", line(&module.title))?;
        for lesson in &module.lessons {
            write_lesson(out, lesson)?;
        }
    }
    write_answers(out, document)
}

/// JSON strings are YAML strings, so their escapes keep the text inside its line.
fn write_front_matter(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(out, "---")?;
    writeln!(out, "title: {}", json!(document.title))?;
    writeln!(out, "topic: {}", json!(document.topic))?;
    writeln!(out, "audience: {}", json!(document.audience))?;
    writeln!(out, "level: {}", json!(document.level))?;
    writeln!(out, "language: {}", json!(document.language))?;
    writeln!(out, "status: {}", json!(document.status))?;
    writeln!(out, "seed: {}", document.seed)?;
    if let Some(provenance) = &document.provenance {
        writeln!(out, "generator: {}", json!(provenance.generator))?;
        writeln!(out, "model: {}", json!(provenance.model_id))?;
        writeln!(out, "model_sha256: {}", json!(provenance.model_sha256))?;
    }
    writeln!(out, "---\n")
}

fn write_lesson(out: &mut String, lesson: &DocumentLesson) -> fmt::Result {
    let number = lesson.id.trim_start_matches('l');
    writeln!(out, "### Lesson {number}: {}\n", line(&lesson.title))?;
    write_list(out, "After this lesson you can:", &lesson.objectives)?;
    let Some(content) = &lesson.content else {
        return writeln!(out, "*This lesson is not written.*\n");
    };
    write_paragraphs(out, &content.summary)?;
    for section in &content.sections {
        writeln!(out, "#### {}\n", line(&section.heading))?;
        write_paragraphs(out, &section.text)?;
    }
    write_list(out, "Key points:", &content.key_points)?;
    if !content.misconception.claim.is_empty() {
        writeln!(out, "#### A common mistake\n")?;
        writeln!(
            out,
            "**Often believed:** {}\n",
            line(&content.misconception.claim)
        )?;
        writeln!(out, "**In fact:** {}\n", line(&content.misconception.truth))?;
    }
    if !content.exercise.task.is_empty() {
        writeln!(out, "#### Exercise\n")?;
        write_paragraphs(out, &content.exercise.task)?;
    }
    write_quiz(out, lesson)
}

fn write_quiz(out: &mut String, lesson: &DocumentLesson) -> fmt::Result {
    let Some(quiz) = lesson.quiz.as_ref().filter(|quiz| !quiz.items.is_empty()) else {
        return Ok(());
    };
    writeln!(
        out,
        "#### Quiz\n\n{} % of the answers must be right.\n",
        quiz.passing_grade
    )?;
    for (number, item) in (1..).zip(&quiz.items) {
        writeln!(out, "{number}. {}\n", line(&item.stem))?;
        for option in &item.options {
            writeln!(out, "   - {}) {}", option.id, line(&option.text))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The key and the solutions, at the end, where a learner does not read them by accident.
fn write_answers(out: &mut String, document: &Document) -> fmt::Result {
    writeln!(out, "## Answers")?;
    for lesson in document.modules.iter().flat_map(|module| &module.lessons) {
        let Some(content) = &lesson.content else {
            continue;
        };
        let number = lesson.id.trim_start_matches('l');
        writeln!(out, "\n### Lesson {number}\n")?;
        for (number, item) in (1..).zip(lesson.quiz.iter().flat_map(|quiz| &quiz.items)) {
            writeln!(
                out,
                "{number}. **{}** {}",
                key(item),
                line(&item.explanation)
            )?;
        }
        if !content.exercise.solution.is_empty() {
            writeln!(out, "\nExercise: {}", line(&content.exercise.solution))?;
        }
    }
    Ok(())
}

fn key(item: &Question) -> String {
    let right = item.options.iter().filter(|option| option.correct);
    right
        .map(|option| option.id.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn write_list(out: &mut String, title: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "{title}\n")?;
    for item in items {
        writeln!(out, "- {}", line(item))?;
    }
    writeln!(out)
}

fn write_paragraphs(out: &mut String, text: &str) -> fmt::Result {
    for paragraph in text
        .lines()
        .map(line)
        .filter(|paragraph| !paragraph.is_empty())
    {
        writeln!(out, "{paragraph}\n")?;
    }
    Ok(())
}

/// The text on one line, as plain words to every Markdown reader.
fn line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::with_capacity(text.len() + 8);
    // What starts a list, a heading, a rule or a quote, does so at the start of a line only.
    let marker = text.find(|c: char| !c.is_ascii_digit()).filter(|end| {
        let rest = &text[*end..];
        let list = *end > 0 && rest.starts_with(['.', ')']);
        list || (*end == 0 && rest.starts_with(['#', '+', '-', '=', '>', ':']))
    });
    for (place, c) in text.char_indices() {
        if marker == Some(place) || "\\`*_[]<>&|~$!{}".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn text_cannot_become_markup() {
        let escaped = [
            ("# Not a heading", r"\# Not a heading"),
            (
                "<script>alert(1)</script>",
                r"\<script\>alert(1)\</script\>",
            ),
            ("[a](http://b) ![c](d)", r"\[a\](http://b) \!\[c\](d)"),
            ("1. one", r"1\. one"),
            ("12) two", r"12\) two"),
            ("- item", r"\- item"),
            ("--- \n***", r"\--- \*\*\*"),
            ("a\n\n# b", "a # b"),
            ("    code", "code"),
            (
                "&lt; $x$ `y` ~~z~~ {w}",
                r"\&lt; \$x\$ \`y\` \~\~z\~\~ \{w\}",
            ),
            (r"\# twice", r"\\# twice"),
        ];

        for (text, expected) in escaped {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn ordinary_text_stays_readable() {
        for text in [
            "C# is 3.5 times older - or not.",
            "It's \"quoted\", isn't it?",
            "2026",
        ] {
            assert_eq!(line(text), text);
        }
    }
}
