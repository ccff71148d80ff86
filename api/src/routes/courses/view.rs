//! A course and its lessons as clients see them.

use chrono::{DateTime, Utc};
use models::{
    content::{Content, Flag, Provenance, Quality, Quiz},
    courses::{Brief, Course, Status},
    id::CourseId,
    lessons::{self, Lesson},
    modules::Module,
};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::schema;
use crate::routes::tasks::view::path as task_path;

/// A course, without its lessons.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CourseSummary")]
#[expect(clippy::struct_field_names, reason = "the words of the contract")]
pub(crate) struct Summary {
    /// A UUID of version 7: ids sort by the time they were made.
    pub(crate) id: Uuid,
    /// Rises on every visible change, those of its lessons included; the ETag is made from it.
    pub(crate) version: i64,
    /// Where the course is.
    #[schemars(with = "schema::CourseStatus")]
    pub(crate) status: Status,
    /// What the author asked for.
    #[schemars(with = "schema::CourseBrief")]
    pub(crate) brief: Brief,
    /// The seed that it is written with: the same brief and seed give the same course.
    pub(crate) seed: u64,
    /// Its title; null until it is planned.
    pub(crate) title: Option<String>,
    /// What it is about; null until it is planned.
    pub(crate) summary: Option<String>,
    /// When it was asked for.
    pub(crate) created_at: DateTime<Utc>,
    /// When it last changed.
    pub(crate) updated_at: DateTime<Utc>,
    /// When writing it ended.
    pub(crate) finished_at: Option<DateTime<Utc>>,
    /// Where to go from here.
    pub(crate) links: Links,
}

/// A course with its modules and lessons.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Course")]
pub(crate) struct CourseView {
    #[serde(flatten)]
    head: Summary,
    /// Its parts; none until it is planned.
    modules: Vec<ModuleView>,
    /// Who planned it, and from what; null until it is planned.
    #[schemars(with = "Option<schema::Provenance>")]
    provenance: Option<Provenance>,
    /// What the quality gates found; null until it is finished.
    #[schemars(with = "Option<schema::Quality>")]
    quality: Option<Quality>,
}

/// A part of a course.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Module")]
struct ModuleView {
    /// Its place in the course, from 1.
    ordinal: i64,
    /// Its title.
    title: String,
    /// Its lessons.
    lessons: Vec<LessonHead>,
}

/// A lesson, without its text.
#[derive(Debug, Serialize, JsonSchema)]
struct LessonHead {
    /// Its place in the whole course, from 1.
    ordinal: i64,
    /// Rises on every visible change; the ETag is made from it.
    version: i64,
    /// Where the lesson is.
    #[schemars(with = "schema::LessonStatus")]
    status: lessons::Status,
    /// Its title.
    title: String,
    /// What the learner can do afterwards.
    objectives: Vec<String>,
    /// What the quality gates found.
    #[schemars(with = "Vec<schema::Flag>")]
    flags: Vec<Flag>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
    /// Where to go from here.
    links: LessonLinks,
}

/// A lesson with its text and its quiz.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Lesson")]
pub(crate) struct LessonView {
    #[serde(flatten)]
    head: LessonHead,
    /// Its text; null until it is written.
    #[schemars(with = "Option<schema::Content>")]
    content: Option<Content>,
    /// Its questions; null until it is written.
    #[schemars(with = "Option<schema::Quiz>")]
    quiz: Option<Quiz>,
    /// Who wrote it, and from what; null until it is written.
    #[schemars(with = "Option<schema::Provenance>")]
    provenance: Option<Provenance>,
    /// How many times it was written.
    round: i64,
}

/// Where to go from a course.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CourseLinks")]
pub(crate) struct Links {
    /// The course itself.
    #[serde(rename = "self")]
    this: String,
    /// The task that writes it.
    task: Option<String>,
    /// The finished course as a document.
    export: String,
}

/// Where to go from a lesson.
#[derive(Debug, Serialize, JsonSchema)]
struct LessonLinks {
    /// The lesson itself.
    #[serde(rename = "self")]
    this: String,
    /// The course that it belongs to.
    course: String,
}

impl Summary {
    /// The view of a row.
    pub(crate) fn of(course: Course) -> Self {
        let this = course_path(course.id);
        Self {
            id: course.id.into(),
            version: course.version,
            status: course.status,
            brief: course.brief,
            seed: course.seed,
            title: course.title,
            summary: course.summary,
            created_at: course.created_at,
            updated_at: course.updated_at,
            finished_at: course.finished_at,
            links: Links {
                task: course.task_id.map(task_path),
                export: format!("{this}/export"),
                this,
            },
        }
    }
}

impl CourseView {
    /// The view of a course with its parts, both in their order.
    pub(crate) fn of(mut course: Course, modules: Vec<Module>, lessons: Vec<Lesson>) -> Self {
        let mut lessons = lessons.into_iter().peekable();
        let modules = modules.into_iter().map(|module| ModuleView {
            ordinal: module.ordinal,
            title: module.title,
            // Lessons count through the course, so those of a module are next to each other.
            lessons: std::iter::from_fn(|| lessons.next_if(|next| next.module_id == module.id))
                .map(LessonHead::of)
                .collect(),
        });
        Self {
            modules: modules.collect(),
            provenance: course.provenance.take(),
            quality: course.quality.take(),
            head: Summary::of(course),
        }
    }
}

impl LessonHead {
    fn of(lesson: Lesson) -> Self {
        let course = course_path(lesson.course_id);
        let this = format!("{course}/lessons/{}", lesson.ordinal);
        Self {
            ordinal: lesson.ordinal,
            version: lesson.version,
            status: lesson.status,
            title: lesson.title,
            objectives: lesson.objectives,
            flags: lesson.flags,
            updated_at: lesson.updated_at,
            links: LessonLinks { this, course },
        }
    }
}

impl LessonView {
    /// The view of a row.
    pub(crate) fn of(mut lesson: Lesson) -> Self {
        Self {
            content: lesson.content.take(),
            quiz: lesson.quiz.take(),
            provenance: lesson.provenance.take(),
            round: lesson.round,
            head: LessonHead::of(lesson),
        }
    }
}

/// Where a course is found.
fn course_path(id: CourseId) -> String {
    format!("/v1/courses/{id}")
}
