//! How tokens are drawn, one setting a prompt.

use std::collections::BTreeMap;

use inference::Sampling;
use serde_json::Value;

/// A setting without its seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Setting {
    temperature: f32,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
    /// Tokens that the penalty looks back on.
    repetition_window: usize,
}

/// Plans may differ: variety costs nothing that a gate does not catch.
pub(crate) const OUTLINE: Setting = Setting {
    temperature: 0.7,
    top_p: 0.95,
    min_p: 0.05,
    repetition_penalty: 1.05,
    repetition_window: 64,
};
/// Prose needs variety too; the penalty keeps small models from going in circles.
pub(crate) const LESSON: Setting = Setting { ..OUTLINE };
/// Questions repeat the words of the lesson by design: no penalty.
pub(crate) const QUIZ: Setting = Setting {
    repetition_penalty: 1.0,
    ..OUTLINE
};

impl Setting {
    /// The setting for one ask.
    pub(crate) fn seeded(self, seed: u64) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: None,
            top_p: Some(self.top_p),
            min_p: Some(self.min_p),
            repetition_penalty: self.repetition_penalty,
            repetition_window: self.repetition_window,
            seed,
        }
    }

    /// The setting by name, for the provenance of what it produced.
    pub(crate) fn params(self) -> BTreeMap<String, Value> {
        BTreeMap::from([
            ("temperature".to_owned(), number(self.temperature)),
            ("top_p".to_owned(), number(self.top_p)),
            ("min_p".to_owned(), number(self.min_p)),
            (
                "repetition_penalty".to_owned(),
                number(self.repetition_penalty),
            ),
            (
                "repetition_window".to_owned(),
                self.repetition_window.into(),
            ),
        ])
    }
}

/// 0.7 and not 0.699999988079071: rounded to thousandths before it is written down.
fn number(value: f32) -> Value {
    ((f64::from(value) * 1_000.0).round() / 1_000.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provenance_shows_the_numbers_that_were_written_here() {
        let params = serde_json::to_string(&OUTLINE.params()).expect("numbers are JSON");
        assert!(
            params.contains(r#""temperature":0.7,"top_p":0.95"#),
            "{params}"
        );
    }
}
