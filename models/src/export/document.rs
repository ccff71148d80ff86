//! The document: everything in a course, with places instead of row ids.

use serde::Serialize;

use crate::{
    brief::Level,
    content::{Choice, Content, Flag, Item, ItemKind, Provenance, Quality, Quiz},
    courses::{self, Course},
    lessons::{self, Lesson},
    modules::Module,
};

/// The name of this form of the document: a number that rises when a field changes its meaning.
pub const DOCUMENT_SCHEMA: &str = "course-1";

/// A whole course.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    /// [`DOCUMENT_SCHEMA`].
    pub schema: &'static str,
    /// Its title; the topic until it is planned.
    pub title: String,
    /// Its summary; empty until it is planned.
    pub summary: String,
    /// Where it stands.
    pub status: courses::Status,
    /// What the author asked for: the topic.
    pub topic: String,
    /// For whom.
    pub audience: String,
    /// How much they know already.
    pub level: Level,
    /// The language it is written in.
    pub language: String,
    /// What the author wants learners to be able to do.
    pub objectives: Vec<String>,
    /// What else the author said.
    pub notes: String,
    /// The seed it was written with.
    pub seed: u64,
    /// Its modules, in order.
    pub modules: Vec<DocumentModule>,
    /// Who planned it.
    pub provenance: Option<Provenance>,
    /// What the quality gates said.
    pub quality: Option<Quality>,
}

/// A module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DocumentModule {
    /// `m1`, `m2`, ...
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its lessons, in order.
    pub lessons: Vec<DocumentLesson>,
}

/// A lesson.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DocumentLesson {
    /// `l1`, `l2`, ... through the whole course.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub status: lessons::Status,
    /// What learners shall be able to do after it.
    pub objectives: Vec<String>,
    /// Its text, once written.
    pub content: Option<Content>,
    /// Its questions, once written.
    pub quiz: Option<DocumentQuiz>,
    /// What the quality gates found.
    pub flags: Vec<Flag>,
    /// Who wrote it.
    pub provenance: Option<Provenance>,
}

/// The questions after a lesson.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DocumentQuiz {
    /// Share of right answers that passes, in percent.
    pub passing_grade: u8,
    /// The questions, in order.
    pub items: Vec<Question>,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Question {
    /// `l3-q2`: the second question of the third lesson.
    pub id: String,
    /// How it is answered.
    pub kind: ItemKind,
    /// The question.
    pub stem: String,
    /// The answers to choose from.
    pub options: Vec<Answer>,
    /// Why the right answer is right.
    pub explanation: String,
    /// The objective that it tests; none when it names one that the lesson does not have.
    pub objective: Option<String>,
}

/// An answer to choose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// `a`, `b`, ...
    pub id: String,
    /// The answer.
    pub text: String,
    /// Whether it is right.
    pub correct: bool,
}

/// The document of a course with all of its modules and lessons, in order.
pub fn document(course: &Course, modules: &[Module], lessons: &[Lesson]) -> Document {
    let brief = &course.brief;
    let lessons_of = |module: &Module| {
        lessons
            .iter()
            .filter(|lesson| lesson.module_id == module.id)
            .map(lesson)
            .collect()
    };
    let modules = modules.iter().map(|module| DocumentModule {
        id: format!("m{}", module.ordinal),
        title: module.title.clone(),
        lessons: lessons_of(module),
    });
    Document {
        schema: DOCUMENT_SCHEMA,
        title: course.title.clone().unwrap_or_else(|| brief.topic.clone()),
        summary: course.summary.clone().unwrap_or_default(),
        status: course.status,
        topic: brief.topic.clone(),
        audience: brief.audience.clone(),
        level: brief.level,
        language: brief.language.clone(),
        objectives: brief.objectives.clone(),
        notes: brief.notes.clone(),
        seed: course.seed,
        modules: modules.collect(),
        provenance: course.provenance.clone(),
        quality: course.quality.clone(),
    }
}

fn lesson(lesson: &Lesson) -> DocumentLesson {
    let id = format!("l{}", lesson.ordinal);
    DocumentLesson {
        title: lesson.title.clone(),
        status: lesson.status,
        objectives: lesson.objectives.clone(),
        content: lesson.content.clone(),
        quiz: lesson
            .quiz
            .as_ref()
            .map(|found| quiz(&id, found, &lesson.objectives)),
        flags: lesson.flags.clone(),
        provenance: lesson.provenance.clone(),
        id,
    }
}

fn quiz(lesson: &str, quiz: &Quiz, objectives: &[String]) -> DocumentQuiz {
    let items = (1..).zip(&quiz.items);
    let items =
        items.map(|(number, item)| question(format!("{lesson}-q{number}"), item, objectives));
    DocumentQuiz {
        passing_grade: quiz.passing_grade,
        items: items.collect(),
    }
}

fn question(id: String, item: &Item, objectives: &[String]) -> Question {
    Question {
        id,
        kind: item.kind,
        stem: item.stem.clone(),
        options: ('a'..='z')
            .zip(&item.options)
            .map(|(letter, choice)| answer(letter, choice))
            .collect(),
        explanation: item.explanation.clone(),
        objective: objectives.get(item.objective).cloned(),
    }
}

fn answer(letter: char, choice: &Choice) -> Answer {
    Answer {
        id: letter.to_string(),
        text: choice.text.clone(),
        correct: choice.correct,
    }
}
