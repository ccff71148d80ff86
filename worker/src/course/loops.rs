//! Texts that go round in circles, as small models write them when they lose the thread.

use std::collections::{HashMap, HashSet};

use super::text::{normalise, sentences, words};

/// A sentence of so many words is long enough that writing it twice in a text is no accident.
const SENTENCE_WORDS: usize = 4;
/// How often one sentence may stand in a lesson: once where it is taught, once where it is summed up.
const SENTENCE_TIMES: usize = 2;
/// The same word so many times in a row is a model going round in circles.
const STUTTER_WORDS: usize = 3;
/// The same letters so many times in a row within a word are one as well: "cacacaca";
const STUTTER_TIMES: usize = 4;
/// and so many letters at least, since there are "AAAA" records.
const STUTTER_LETTERS_MIN: usize = 8;
/// Letters of what may be repeated within a word.
const SYLLABLE_LETTERS_MAX: usize = 4;
/// Runs of three words that must differ, of all there are; loops fall far below it, lists do not.
const DISTINCT_SHARE: f64 = 0.6;

/// Where a lesson repeats itself: within one of its sections, or in all of its texts together.
pub(crate) fn looping(sections: &[&str], texts: &[&str]) -> Option<String> {
    for section in sections {
        if let Some(twice) = repeated(&[section], 1) {
            return Some(format!("a section says twice: {twice}"));
        }
    }
    if let Some(often) = repeated(texts, SENTENCE_TIMES) {
        return Some(format!("the lesson says again and again: {often}"));
    }
    let words = words(&texts.join(" "));
    if let Some(run) = words
        .chunk_by(|a, b| a == b)
        .find(|run| run.len() >= STUTTER_WORDS)
    {
        return Some(format!(
            "\"{}\" is repeated {} times in a row",
            run[0],
            run.len()
        ));
    }
    if let Some(word) = words.iter().find(|word| stutters(word)) {
        return Some(format!("\"{word}\" is no word"));
    }
    (distinct_share(&words) < DISTINCT_SHARE)
        .then(|| "the same words come again and again".to_owned())
}

/// Whether a word of a text is the same few letters again and again. Numbers may be: "1000000".
pub(crate) fn stuttering(text: &str) -> bool {
    words(text).iter().any(|word| stutters(word))
}

fn stutters(word: &str) -> bool {
    let letters: Vec<char> = word.chars().collect();
    let repeats = |run: &[char], size: usize| {
        run.iter().all(|letter| letter.is_alphabetic())
            && run.iter().zip(&run[size..]).all(|(a, b)| a == b)
    };
    (1..=SYLLABLE_LETTERS_MAX).any(|size| {
        letters
            .windows((size * STUTTER_TIMES).max(STUTTER_LETTERS_MIN))
            .any(|run| repeats(run, size))
    })
}

/// A sentence that stands in these texts more than `times` times.
fn repeated(texts: &[&str], times: usize) -> Option<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for sentence in texts.iter().flat_map(|text| sentences(text)) {
        let said = normalise(sentence);
        if said.split(' ').count() < SENTENCE_WORDS {
            continue;
        }
        let count = seen.entry(said).or_default();
        *count += 1;
        if *count > times {
            return Some(sentence.to_owned());
        }
    }
    None
}

/// How many of the runs of three words are different ones. It is what a compression ratio measures,
/// without a compressor.
#[expect(
    clippy::cast_precision_loss,
    reason = "the words of a lesson are far below 2^52"
)]
fn distinct_share(words: &[String]) -> f64 {
    let runs = words.windows(3);
    let all = runs.len();
    let distinct: HashSet<&[String]> = runs.collect();
    if all == 0 {
        1.0
    } else {
        distinct.len() as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_different_words_are_a_loop() {
        let text = "one two three four ".repeat(20);
        assert!(distinct_share(&words(&text)) < DISTINCT_SHARE);
        assert!(looping(&[], &[&text]).is_some());
    }

    #[test]
    fn the_same_letters_again_and_again_are_no_word() {
        for text in [
            "The role of cacacacaca",
            "Aaaaaaaa",
            "a bananananana",
            "tidetidetidetide",
        ] {
            assert!(stuttering(text), "{text}");
            assert!(looping(&[], &[text]).is_some(), "{text}");
        }
        for text in [
            "Mississippi",
            "10000000 tides",
            "AAAA records",
            "Louis XVIII",
            "Seeelefant",
            "潮潮潮潮",
        ] {
            assert!(!stuttering(text), "{text}");
        }
    }

    #[test]
    fn plain_prose_and_short_lists_are_none() {
        let prose = "Look at the pool. Note two animals, two plants and two stones. Draw them.";
        assert_eq!(looping(&[prose], &[prose, "Look twice."]), None);
        assert_eq!(looping(&[], &[]), None);
    }

    #[test]
    fn a_sentence_may_be_taught_and_summed_up_but_not_said_a_third_time() {
        let sentence = "Every tide leaves a pool behind.";
        assert_eq!(looping(&[sentence, "Look."], &[sentence, sentence]), None);
        assert!(looping(&[], &[sentence, sentence, sentence]).is_some());
        let twice = format!("{sentence} {sentence}");
        assert!(looping(&[&twice], &[]).is_some());
    }
}
