//! Turns the outline of a course into rows: one statement a table, however many lessons.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    courses::Plan,
    db::Tx,
    error::Result,
    id::{CourseId, LessonId, ModuleId},
    sql,
};

// Ids are written without hyphens: both databases read them so.
#[derive(Serialize)]
struct ModuleRow<'p> {
    id: String,
    ordinal: usize,
    title: &'p str,
}

#[derive(Serialize)]
struct LessonRow<'p> {
    id: String,
    module_id: String,
    ordinal: usize,
    title: &'p str,
    objectives: &'p [String],
}

/// Inserts the modules and lessons of a course that has none.
pub(crate) async fn insert(
    tx: &mut Tx,
    course: CourseId,
    plan: &Plan,
    now: DateTime<Utc>,
) -> Result<()> {
    let (modules, lessons) = rows(plan);
    sql!(
        tx, execute,
        postgres
        "insert into modules (id, course_id, ordinal, title)
        select cast(r ->> 'id' as uuid), $1, cast(r ->> 'ordinal' as bigint), r ->> 'title'
        from jsonb_array_elements($2) r",
        sqlite
        "insert into modules (id, course_id, ordinal, title)
        select unhex(value ->> 'id'), $1, value ->> 'ordinal', value ->> 'title'
        from json_each($2)",
        course, Json(modules),
    )?;
    sql!(
        tx, execute,
        postgres
        "insert into lessons (id, course_id, module_id, ordinal, version, status, title,
            objectives, flags, round, created_at, updated_at)
        select cast(r ->> 'id' as uuid), $1, cast(r ->> 'module_id' as uuid),
            cast(r ->> 'ordinal' as bigint), 1, 'pending', r ->> 'title',
            r -> 'objectives', '[]', 0, $3, $3
        from jsonb_array_elements($2) r",
        sqlite
        "insert into lessons (id, course_id, module_id, ordinal, version, status, title,
            objectives, flags, round, created_at, updated_at)
        select unhex(value ->> 'id'), $1, unhex(value ->> 'module_id'),
            value ->> 'ordinal', 1, 'pending', value ->> 'title',
            value -> 'objectives', '[]', 0, $3, $3
        from json_each($2)",
        course, Json(lessons), now,
    )
    .map(|_| ())
}

fn rows(plan: &Plan) -> (Vec<ModuleRow<'_>>, Vec<LessonRow<'_>>) {
    let mut modules = Vec::new();
    let mut lessons = Vec::new();
    for module in &plan.modules {
        let id = hex(ModuleId::new());
        for lesson in &module.lessons {
            lessons.push(LessonRow {
                id: hex(LessonId::new()),
                module_id: id.clone(),
                ordinal: lessons.len() + 1,
                title: &lesson.title,
                objectives: &lesson.objectives,
            });
        }
        modules.push(ModuleRow {
            id,
            ordinal: modules.len() + 1,
            title: &module.title,
        });
    }
    (modules, lessons)
}

fn hex(id: impl Into<Uuid>) -> String {
    id.into().simple().to_string()
}
