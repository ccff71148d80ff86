//! The gates of one lesson and its quiz: pure functions from a text to what is wrong with it.
//!
//! A gate that fails is a reason to ask once more; what fails again is shown to the author as a flag.

use std::collections::HashSet;

use models::content::{Content, Flag, Item, Quiz};

use super::{
    lesson::running_text,
    loops::looping,
    quiz::ITEMS,
    text::{ends_sentence, names, normalise},
};

/// Answers that tell which one is right, or none.
const NO_ANSWERS: [&str; 4] = [
    "all of the above",
    "none of the above",
    "both of the above",
    "all of these",
];

/// What is wrong with the text of a lesson; empty when it passes.
pub(crate) fn lesson(content: &Content, topic: &str) -> Vec<Flag> {
    let mut flags = Vec::new();
    let prose = prose(content);
    let texts: Vec<&str> = prose.iter().map(|(_, text)| *text).collect();
    let sections: Vec<&str> = content
        .sections
        .iter()
        .map(|section| section.text.as_str())
        .collect();
    flags.extend(unfinished(&prose).map(|detail| flag("unfinished", detail)));
    flags.extend(looping(&sections, &texts).map(|detail| flag("loop", detail)));
    flags.extend(unnamed(content, topic).map(|detail| flag("topic", detail)));
    flags.extend(linked(content).map(|detail| flag("link", detail)));
    flags
}

/// What is wrong with a quiz; empty when it passes.
pub(crate) fn quiz(quiz: &Quiz) -> Vec<Flag> {
    let mut flags = Vec::new();
    // One finding a question: a quiz with two of three is better than one with none.
    let missing = quiz.items.len() + 1..=ITEMS;
    flags.extend(missing.map(|number| flag("quiz_count", format!("question {number} is missing"))));
    let mut stems = HashSet::new();
    for (number, item) in (1..).zip(&quiz.items) {
        if !stems.insert(normalise(&item.stem)) {
            flags.push(flag(
                "quiz_stem",
                format!("question {number} was asked before"),
            ));
        }
        flags.extend(
            bad_item(item).map(|(gate, what)| flag(gate, format!("question {number}: {what}"))),
        );
    }
    flags
}

/// A finding of a gate.
pub(crate) fn flag(gate: &str, detail: impl Into<String>) -> Flag {
    Flag {
        gate: gate.to_owned(),
        detail: detail.into(),
    }
}

/// Every text that must consist of whole sentences, with its name.
fn prose(content: &Content) -> Vec<(String, &str)> {
    let mut prose = vec![("the summary".to_owned(), content.summary.as_str())];
    for (number, section) in (1..).zip(&content.sections) {
        prose.push((format!("section {number}"), &section.text));
    }
    for (number, point) in (1..).zip(&content.key_points) {
        prose.push((format!("key point {number}"), point));
    }
    prose.push(("the misconception".to_owned(), &content.misconception.claim));
    prose.push(("its truth".to_owned(), &content.misconception.truth));
    prose.push(("the exercise".to_owned(), &content.exercise.task));
    prose.push(("its solution".to_owned(), &content.exercise.solution));
    prose
}

fn unfinished(prose: &[(String, &str)]) -> Option<String> {
    let cut = prose.iter().find(|(_, text)| !ends_sentence(text));
    cut.map(|(name, _)| format!("{name} does not end with a sentence"))
}

fn unnamed(content: &Content, topic: &str) -> Option<String> {
    (!names(&running_text(content), topic)).then(|| "the lesson does not name the topic".to_owned())
}

/// A model that has no network makes addresses up.
fn linked(content: &Content) -> Option<String> {
    let text = running_text(content).to_lowercase();
    let linked = ["http://", "https://", "www."]
        .iter()
        .any(|sign| text.contains(sign));
    linked.then(|| "the lesson holds an address that nobody checked".to_owned())
}

fn bad_item(item: &Item) -> Option<(&'static str, String)> {
    let options: Vec<String> = item
        .options
        .iter()
        .map(|choice| normalise(&choice.text))
        .collect();
    if item.options.iter().filter(|choice| choice.correct).count() != 1 {
        return Some(("quiz_key", "not exactly one answer is right".to_owned()));
    }
    if options.iter().any(String::is_empty)
        || options.iter().collect::<HashSet<_>>().len() < options.len()
    {
        return Some(("quiz_options", "two options say the same".to_owned()));
    }
    if options
        .iter()
        .any(|option| NO_ANSWERS.contains(&option.as_str()))
    {
        return Some(("quiz_options", "an option speaks of the others".to_owned()));
    }
    let unfinished = [
        ("the question", &item.stem),
        ("the explanation", &item.explanation),
    ];
    let cut = unfinished
        .iter()
        .find(|(_, text)| !ends_sentence(text) && !text.ends_with(':'));
    cut.map(|(name, _)| ("quiz_unfinished", format!("{name} is not finished")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::course::{lesson, quiz};

    fn content() -> Content {
        lesson::tests::good("tide pools").into_content()
    }

    fn good_quiz() -> Quiz {
        quiz::tests::good("tide pools").into_quiz(&[], 1)
    }

    fn failed(flags: &[Flag]) -> Vec<&str> {
        flags.iter().map(|flag| flag.gate.as_str()).collect()
    }

    #[test]
    fn a_good_lesson_and_a_good_quiz_pass() {
        assert_eq!(super::lesson(&content(), "Tide pools"), []);
        assert_eq!(super::quiz(&good_quiz()), []);
    }

    #[test]
    fn a_text_that_was_cut_is_unfinished() {
        let mut content = content();
        content.sections[1].text.push_str(" And then the");
        assert_eq!(
            failed(&super::lesson(&content, "tide pools")),
            ["unfinished"]
        );
    }

    #[test]
    fn a_sentence_said_twice_in_a_section_is_a_loop() {
        let mut content = content();
        content.sections[0].text =
            "The tide pools are small worlds. The tide pools are small worlds!".to_owned();
        assert_eq!(failed(&super::lesson(&content, "tide pools")), ["loop"]);
    }

    #[test]
    fn a_sentence_said_in_every_section_is_a_loop() {
        let mut content = content();
        for section in &mut content.sections {
            section.text = format!("In {} the tide pools are small worlds of their own.", 7);
        }
        assert_eq!(failed(&super::lesson(&content, "tide pools")), ["loop"]);
    }

    #[test]
    fn stuttering_is_a_loop() {
        let mut content = content();
        content.summary = "Learn the the the tide pools.".to_owned();
        assert_eq!(failed(&super::lesson(&content, "tide pools")), ["loop"]);
    }

    #[test]
    fn a_lesson_about_something_else_does_not_name_the_topic() {
        assert_eq!(
            failed(&super::lesson(&content(), "Sourdough bread")),
            ["topic"]
        );
    }

    #[test]
    fn an_invented_address_is_found() {
        let mut content = content();
        content.sections[0].text = "See https://example.com for tide pools.".to_owned();
        assert_eq!(failed(&super::lesson(&content, "tide pools")), ["link"]);
    }

    #[test]
    fn equal_options_missing_keys_and_repeated_questions_are_found() {
        let mut same = good_quiz();
        same.items[0].options[0].text = same.items[0].options[1].text.to_uppercase();
        assert_eq!(failed(&super::quiz(&same)), ["quiz_options"]);

        let mut keyless = good_quiz();
        keyless.items[1]
            .options
            .iter_mut()
            .for_each(|choice| choice.correct = false);
        assert_eq!(failed(&super::quiz(&keyless)), ["quiz_key"]);

        let mut repeated = good_quiz();
        repeated.items[2].stem = repeated.items[1].stem.clone();
        assert_eq!(failed(&super::quiz(&repeated)), ["quiz_stem"]);

        let mut short = good_quiz();
        short.items.pop();
        assert_eq!(failed(&super::quiz(&short)), ["quiz_count"]);

        let mut unfinished = good_quiz();
        unfinished.items[0].explanation = "Because the".to_owned();
        assert_eq!(failed(&super::quiz(&unfinished)), ["quiz_unfinished"]);

        let mut above = good_quiz();
        above.items[0].options[0].text = "All of the above".to_owned();
        assert_eq!(failed(&super::quiz(&above)), ["quiz_options"]);
    }
}
