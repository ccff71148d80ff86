//! How long the parts of an answer may be, in characters. The decoder enforces them.

use std::ops::RangeInclusive;

/// Tokens of context from which a model is given more room.
const CONTEXT_LARGE: usize = 4_096;

/// The bounds of every text that a model is asked for, in characters (not bytes).
///
/// The lower bounds refuse empty and one-word answers; the upper ones keep prompt and answer inside the
/// context, and are far above what a good answer needs: a text that reaches one was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) title: RangeInclusive<usize>,
    pub(crate) summary: RangeInclusive<usize>,
    pub(crate) objective: RangeInclusive<usize>,
    pub(crate) section: RangeInclusive<usize>,
    pub(crate) key_point: RangeInclusive<usize>,
    pub(crate) claim: RangeInclusive<usize>,
    pub(crate) task: RangeInclusive<usize>,
    pub(crate) question: RangeInclusive<usize>,
    pub(crate) answer: RangeInclusive<usize>,
    pub(crate) explanation: RangeInclusive<usize>,
    /// Characters of a lesson that its quiz prompt holds.
    pub(crate) quiz_text: usize,
    /// Characters of the author's notes and of all objectives together that the outline prompt holds.
    pub(crate) outline_notes: usize,
    pub(crate) outline_objectives: usize,
    /// Whether a later part of an outline is told which lessons the earlier ones planned.
    pub(crate) outline_planned: bool,
    /// Lessons that one ask for an outline plans; a longer course is planned in several.
    pub(crate) lessons_per_ask: usize,
    /// How often a part is asked for while a gate fails. A small model fails more often, and an ask of
    /// it costs less than a second.
    pub(crate) asks_max: u8,
    /// Tokens of the longest answer, when the prompt leaves room for it.
    pub(crate) answer_tokens: usize,
}

impl Limits {
    /// The limits for a model with this context, in tokens.
    ///
    /// A context of 1,024 is the starter's, whose training texts keep well inside these numbers.
    pub(crate) fn of(context: usize) -> Self {
        if context < CONTEXT_LARGE {
            Self::small(context)
        } else {
            Self::large(context)
        }
    }

    fn small(context: usize) -> Self {
        Self {
            title: 3..=80,
            summary: 20..=240,
            objective: 8..=140,
            section: 40..=420,
            key_point: 10..=140,
            claim: 10..=160,
            task: 15..=220,
            question: 10..=160,
            answer: 1..=90,
            explanation: 10..=200,
            quiz_text: 900,
            outline_notes: 300,
            outline_objectives: 400,
            outline_planned: false,
            asks_max: 8,
            lessons_per_ask: 12,
            answer_tokens: context * 3 / 4,
        }
    }

    fn large(context: usize) -> Self {
        Self {
            title: 3..=100,
            summary: 40..=480,
            objective: 8..=160,
            section: 120..=1_600,
            key_point: 10..=220,
            claim: 10..=280,
            task: 15..=500,
            question: 10..=280,
            answer: 1..=160,
            explanation: 10..=360,
            quiz_text: 6_000,
            outline_notes: 600,
            outline_objectives: 2_000,
            outline_planned: true,
            asks_max: 2,
            lessons_per_ask: if context < 2 * CONTEXT_LARGE { 20 } else { 30 },
            answer_tokens: (context / 2).min(6_144),
        }
    }
}
