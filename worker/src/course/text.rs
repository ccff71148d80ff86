//! Words, sentences and likeness of texts in any language: what the gates and repairs measure with.

use std::collections::HashSet;

/// Words in a run that two texts may share by chance; longer runs mean copying.
const SHINGLE_WORDS: usize = 5;

/// Telling words of a topic that is a name; one with more is a sentence.
const NAME_WORDS: usize = 3;

/// Words without case and punctuation, in order.
///
/// Scripts that do not put spaces between words (Chinese, Japanese, Thai ...) give one word a character:
/// that is what makes shingles and overlaps mean the same for them.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        let alone = is_spaceless(character);
        if character.is_alphanumeric() && !alone {
            word.extend(character.to_lowercase());
            continue;
        }
        // An apostrophe belongs to its word: "it's" is one.
        if matches!(character, '\'' | '’') && !word.is_empty() {
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if alone {
            words.push(character.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A text in the form in which two of them are called the same: words joined by single spaces.
pub(crate) fn normalise(text: &str) -> String {
    words(text).join(" ")
}

/// Model output as it is kept: no control characters (PostgreSQL refuses some), single spaces.
pub(crate) fn tidy(text: &str) -> String {
    let visible = text.replace(char::is_control, " ");
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The sentences of a text, each with its mark at the end.
pub(crate) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if !is_mark(character) {
            continue;
        }
        // "3.5" and "e.g.," go on; a mark ends a sentence before a space, a closing quote or nothing.
        let ends = match characters.peek() {
            None => true,
            Some((_, next)) => next.is_whitespace() || is_closing(*next) || !character.is_ascii(),
        };
        if ends && !characters.peek().is_some_and(|(_, next)| is_mark(*next)) {
            let end = at + character.len_utf8();
            sentences.push(text[start..end].trim());
            start = end;
        }
    }
    sentences.push(text[start..].trim());
    sentences.retain(|sentence| sentence.chars().any(char::is_alphanumeric));
    sentences
}

/// Whether a text ends where a sentence does, so that it was not cut off.
pub(crate) fn ends_sentence(text: &str) -> bool {
    let trimmed = text.trim_end().trim_end_matches(is_closing);
    // Thai, Lao and Khmer write no mark at the end of a sentence: nothing can be told from it.
    trimmed.ends_with(|last| is_mark(last) || ('\u{0E00}'..='\u{0EFF}').contains(&last))
}

/// The longest beginning of at most `chars_max` characters that ends with a sentence, or, where no
/// sentence ends in time, with a word.
pub(crate) fn cut(text: &str, chars_max: usize) -> &str {
    let Some((limit, _)) = text.char_indices().nth(chars_max) else {
        return text;
    };
    let head = &text[..limit];
    let mut end = 0;
    for sentence in sentences(head) {
        let start = head[end..].find(sentence).map_or(end, |at| end + at);
        if ends_sentence(sentence) {
            end = start + sentence.len();
        }
    }
    if end > 0 {
        return &head[..end];
    }
    head.rfind(char::is_whitespace)
        .map_or(head, |at| head[..at].trim_end())
}

/// The set of word runs of a text, for [`likeness`].
pub(crate) fn shingles(text: &str) -> HashSet<String> {
    words(text)
        .windows(SHINGLE_WORDS)
        .map(|run| run.join(" "))
        .collect()
}

/// The Jaccard similarity of two sets: 0 for nothing in common, 1 for the same.
#[expect(
    clippy::cast_precision_loss,
    reason = "sets of a lesson's words are far below 2^52"
)]
pub(crate) fn likeness(a: &HashSet<String>, b: &HashSet<String>) -> f64 {
    let shared = a.intersection(b).count();
    let all = a.len() + b.len() - shared;
    if all == 0 {
        0.0
    } else {
        shared as f64 / all as f64
    }
}

/// How many different words of `needle` occur in `text`.
pub(crate) fn shared_words(needle: &str, text: &str) -> usize {
    let text: HashSet<String> = words(text).into_iter().collect();
    let needle: HashSet<String> = words(needle).into_iter().collect();
    needle.intersection(&text).count()
}

/// Whether a text speaks of a topic: it holds the whole name, or its telling words somewhere.
///
/// Of a long topic, which is more of a sentence than a name, two thirds of the words will do. Words are
/// compared by their beginning, so that "wheels" names "wheel" and a German text on "Photosynthese" names
/// "photosynthesis".
pub(crate) fn names(text: &str, topic: &str) -> bool {
    let (text_words, topic_words) = (words(text), words(topic));
    if topic_words.is_empty()
        || text_words
            .windows(topic_words.len())
            .any(|run| run == topic_words)
    {
        return true;
    }
    let telling: Vec<&String> = topic_words
        .iter()
        .filter(|word| word.chars().count() > 3)
        .collect();
    let found = telling
        .iter()
        .filter(|word| text_words.iter().any(|other| same_stem(word, other)));
    let needed = if telling.len() <= NAME_WORDS {
        telling.len()
    } else {
        (telling.len() * 2).div_ceil(3)
    };
    needed > 0 && found.count() >= needed
}

fn same_stem(a: &str, b: &str) -> bool {
    let stem: String = a
        .chars()
        .take(a.chars().count().saturating_sub(2).max(4))
        .collect();
    b.starts_with(&stem)
}

fn is_mark(character: char) -> bool {
    matches!(
        character,
        '.' | '!' | '?' | '…' | '。' | '！' | '？' | '।' | '؟' | '۔' | '።'
    )
}

fn is_closing(character: char) -> bool {
    matches!(
        character,
        '"' | '\''
            | ')'
            | ']'
            | '}'
            | '”'
            | '’'
            | '»'
            | '«'
            | '“'
            | '」'
            | '』'
            | '）'
            | '*'
            | '_'
    )
}

fn is_spaceless(character: char) -> bool {
    matches!(character,
        '\u{0E00}'..='\u{0EFF}'      // Thai, Lao
        | '\u{1780}'..='\u{17FF}'    // Khmer
        | '\u{3040}'..='\u{30FF}'    // Hiragana, Katakana
        | '\u{3400}'..='\u{9FFF}'    // Han
        | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lose_case_and_punctuation_in_every_script() {
        assert_eq!(
            words("It's Über-fast, 3.5 km!"),
            ["its", "über", "fast", "3", "5", "km"]
        );
        assert_eq!(words("光合作用 is"), ["光", "合", "作", "用", "is"]);
    }

    #[test]
    fn sentences_do_not_break_inside_numbers() {
        assert_eq!(
            sentences("Add 3.5 g. Stir (\"Slowly!\") Then wait… Done"),
            ["Add 3.5 g.", "Stir (\"Slowly!", "\") Then wait…", "Done"]
        );
    }

    #[test]
    fn a_cut_text_is_seen_and_a_quoted_end_is_not_a_cut() {
        assert!(ends_sentence("He said \"stop.\""));
        assert!(ends_sentence("植物は光を使う。"));
        assert!(!ends_sentence("The leaf takes in"));
        assert!(!ends_sentence(""));
    }

    #[test]
    fn cut_ends_with_a_sentence_or_at_least_with_a_word() {
        assert_eq!(
            cut("One two. Three four. Five six.", 25),
            "One two. Three four."
        );
        assert_eq!(cut("One two. Three four.", 20), "One two. Three four.");
        assert_eq!(cut("word after word after word", 12), "word after");
        assert_eq!(cut("é é. é", 4), "é é.");
    }

    #[test]
    fn a_topic_is_named_by_its_words_or_their_stems() {
        assert!(names("True the Bicycle-Wheel first.", "bicycle wheel"));
        assert!(names("Good wheels of a bicycle last.", "Bicycle wheel"));
        assert!(names(
            "Wheels of a bicycle, trued at home.",
            "How to true bicycle wheels at home"
        ));
        assert!(!names(
            "Good wheels of a bicycle last.",
            "Bicycle wheel truing"
        ));
        assert!(names("Die Photosynthese braucht Licht.", "Photosynthesis"));
        assert!(!names("Bread needs time.", "Bicycle wheel truing"));
        assert!(!names("A cat sat.", "Sea"));
    }

    #[test]
    fn likeness_is_one_for_the_same_and_zero_for_nothing_shared() {
        let a = shingles("a b c d e f g");
        assert!((likeness(&a, &a) - 1.0).abs() < f64::EPSILON);
        assert!(likeness(&a, &shingles("h i j k l m n")).abs() < f64::EPSILON);
        assert!(likeness(&HashSet::new(), &HashSet::new()).abs() < f64::EPSILON);
    }

    #[test]
    fn tidy_leaves_no_control_characters() {
        assert_eq!(tidy(" a\u{0}b\n\tc  d "), "a b c d");
    }
}
