//! What the command line needs of a course, also while it is being written.

use serde::Deserialize;

/// A course as `GET /v1/courses/{id}` shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Outline {
    /// What the author asked for.
    pub brief: Brief,
    /// Its title, once there is an outline.
    pub title: Option<String>,
    /// Its modules, in order.
    pub modules: Vec<Module>,
    /// Who planned it, once there is an outline.
    pub provenance: Option<Provenance>,
}

/// What the author asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Brief {
    /// What the course is about.
    pub topic: String,
}

/// A part of a course.
#[derive(Debug, Deserialize)]
pub(crate) struct Module {
    /// Its lessons, in order.
    pub lessons: Vec<Lesson>,
}

/// A lesson, whether or not it has been written.
#[derive(Debug, Deserialize)]
pub(crate) struct Lesson {
    /// Its place in the course, from 1.
    pub ordinal: u64,
    /// Its title.
    pub title: String,
    /// Its status, for example `pending`.
    pub status: String,
}

/// Who wrote something.
#[derive(Debug, Deserialize)]
pub(crate) struct Provenance {
    /// The name of the model.
    pub model_id: String,
}

impl Outline {
    /// Every lesson in order.
    pub(crate) fn lessons(&self) -> impl Iterator<Item = &Lesson> {
        self.modules.iter().flat_map(|module| &module.lessons)
    }
}

impl Lesson {
    /// Whether nobody works on it any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "ready" | "needs_review" | "failed")
    }

    /// Whether it can be read.
    pub(crate) fn is_written(&self) -> bool {
        matches!(self.status.as_str(), "ready" | "needs_review")
    }
}
