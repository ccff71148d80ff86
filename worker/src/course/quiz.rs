//! The quiz of a lesson as the model writes it, and the multiple-choice items it becomes.

use std::collections::HashSet;

use models::content::{Choice, Content, Item, ItemKind, Quiz};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    lesson::running_text,
    limits::Limits,
    schema::{list, object, text},
    seeds,
    text::{cut, ends_sentence, normalise, shared_words, tidy},
};

/// Questions of a quiz, and wrong answers of a question: what the prompt asks for.
pub(crate) const ITEMS: usize = 3;
pub(crate) const WRONG: usize = 3;
/// Wrong answers that a question must have to be worth asking: repeated ones are left out.
const WRONG_MIN: usize = 2;
/// Percent of right answers that passes a quiz: two of three.
const PASSING_GRADE: u8 = 66;

/// The answer to the quiz prompt. The order of the fields is the order in which they are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct QuizDraft {
    pub(crate) items: Vec<ItemDraft>,
}

/// One question with its right answer by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ItemDraft {
    pub(crate) question: String,
    pub(crate) answer: String,
    pub(crate) wrong: Vec<String>,
    pub(crate) explanation: String,
}

/// The JSON schema of [`QuizDraft`].
pub(crate) fn schema(limits: &Limits) -> Value {
    let item = object([
        ("question", text(&limits.question)),
        ("answer", text(&limits.answer)),
        ("wrong", list(&text(&limits.answer), WRONG)),
        ("explanation", text(&limits.explanation)),
    ]);
    object([("items", list(&item, ITEMS))])
}

/// The part of a lesson that the quiz prompt holds: as much as the context bears, in whole sentences.
pub(crate) fn prompt_text(content: &Content, limits: &Limits) -> String {
    cut(&running_text(content), limits.quiz_text).to_owned()
}

impl QuizDraft {
    /// The questions of both answers that are worth asking, the first of equal ones, no more than asked for.
    ///
    /// Questions stand alone, so one bad question is no reason to throw the others away.
    pub(crate) fn joined(best: Option<&Self>, later: Self) -> Self {
        let earlier = best.into_iter().flat_map(|best| best.items.iter().cloned());
        let mut stems = HashSet::new();
        let items = earlier
            .chain(later.items)
            .filter_map(ItemDraft::worth_asking);
        let items = items.filter(|item| stems.insert(normalise(&item.question)));
        Self {
            items: items.take(ITEMS).collect(),
        }
    }

    /// The quiz, with the right answer of each item in a place drawn by `seed`.
    ///
    /// Every item is tied to the objective it tests: of those with the fewest items so far, the one it
    /// shares the most words with, so that no objective goes untested while another is tested twice.
    pub(crate) fn into_quiz(self, objectives: &[String], seed: u64) -> Quiz {
        let mut tested = vec![0_usize; objectives.len().max(1)];
        let mut items = Vec::with_capacity(self.items.len());
        for (number, draft) in self.items.into_iter().enumerate() {
            let objective = objective_of(&draft, objectives, &tested);
            tested[objective] += 1;
            let places = draft.wrong.len() + 1;
            items.push(draft.into_item(objective, seeds::place(seed, number, places)));
        }
        Quiz {
            passing_grade: PASSING_GRADE,
            items,
        }
    }
}

impl ItemDraft {
    /// The question without repeated options, if it is finished and enough of them are left.
    fn worth_asking(mut self) -> Option<Self> {
        let mut options = HashSet::from([normalise(&self.answer)]);
        self.wrong.retain(|wrong| options.insert(normalise(wrong)));
        let enough = self.wrong.len() >= WRONG_MIN && !options.contains("");
        (enough && ends_sentence(&self.question) && ends_sentence(&self.explanation))
            .then_some(self)
    }

    fn into_item(self, objective: usize, place: usize) -> Item {
        let wrong = self.wrong.iter().map(|text| Choice {
            text: tidy(text),
            correct: false,
        });
        let mut options: Vec<Choice> = wrong.collect();
        let place = place.min(options.len());
        options.insert(
            place,
            Choice {
                text: tidy(&self.answer),
                correct: true,
            },
        );
        Item {
            kind: ItemKind::Single,
            stem: tidy(&self.question),
            options,
            explanation: tidy(&self.explanation),
            objective,
        }
    }
}

fn objective_of(draft: &ItemDraft, objectives: &[String], tested: &[usize]) -> usize {
    let said = format!("{} {} {}", draft.question, draft.answer, draft.explanation);
    let fewest = tested.iter().min().copied().unwrap_or(0);
    let candidates = (0..objectives.len()).filter(|objective| tested[*objective] == fewest);
    // `max_by_key` keeps the last of equals: reversed, the earliest objective wins.
    candidates
        .rev()
        .max_by_key(|objective| shared_words(&objectives[*objective], &said))
        .unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A quiz that passes every gate, about `topic`.
    pub(crate) fn good(topic: &str) -> QuizDraft {
        let item = |question: String, answer: &str, wrong: [&str; 3]| ItemDraft {
            question,
            answer: answer.to_owned(),
            wrong: wrong.map(str::to_owned).to_vec(),
            explanation: "The lesson says so in its first section.".to_owned(),
        };
        QuizDraft {
            items: vec![
                item(
                    format!("What has {topic}?"),
                    "Parts that work together",
                    ["Nothing", "One part", "No order"],
                ),
                item(
                    "What matters most?".to_owned(),
                    "Order",
                    ["Speed", "Size", "Colour"],
                ),
                item(
                    "What shows a mistake early?".to_owned(),
                    "A small trial",
                    ["A big plan", "Luck", "Waiting"],
                ),
            ],
        }
    }

    #[test]
    fn the_answer_is_among_the_options_once_and_its_place_follows_the_seed() {
        let places = |seed| -> Vec<usize> {
            let quiz = good("tides").into_quiz(&["Explain tides".to_owned()], seed);
            let place = |item: &Item| item.options.iter().position(|choice| choice.correct);
            quiz.items.iter().filter_map(place).collect()
        };

        assert_eq!(places(1), places(1));
        assert!((0..20).any(|seed| places(seed) != places(1)));
        let quiz = good("tides").into_quiz(&[], 3);
        for item in &quiz.items {
            assert_eq!(item.options.len(), WRONG + 1);
            assert_eq!(
                item.options.iter().filter(|choice| choice.correct).count(),
                1
            );
        }
    }

    #[test]
    fn every_objective_is_tested_when_there_are_enough_items() {
        let objectives = [
            "Say why order matters",
            "Run a small trial",
            "Name the parts",
        ];
        let quiz = good("tides").into_quiz(&objectives.map(str::to_owned), 3);

        let mut tested: Vec<usize> = quiz.items.iter().map(|item| item.objective).collect();
        assert_eq!(tested[2], 1, "the question about the trial tests the trial");
        tested.sort_unstable();
        assert_eq!(tested, [0, 1, 2]);
    }

    #[test]
    fn good_questions_of_two_answers_make_one_quiz() {
        let mut first = good("tides");
        first.items[0].wrong = ["One part", "one part!", "Parts that work together"]
            .map(str::to_owned)
            .to_vec();
        first.items[1].wrong[1] = first.items[1].wrong[0].clone();
        let first = QuizDraft::joined(None, first);
        assert_eq!(first.items.len(), 2, "one has a single wrong answer left");
        assert_eq!(
            first.items[0].wrong.len(),
            2,
            "one wrong answer stood there twice"
        );

        let whole = QuizDraft::joined(Some(&first), good("tides"));

        let stems: Vec<&str> = whole
            .items
            .iter()
            .map(|item| item.question.as_str())
            .collect();
        assert_eq!(
            stems,
            [
                "What matters most?",
                "What shows a mistake early?",
                "What has tides?"
            ]
        );
    }
}
