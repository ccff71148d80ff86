//! Modules: the parts of a course, each with some of its lessons.

use crate::{
    db::Conn,
    error::Result,
    id::{CourseId, ModuleId},
    sql,
};

/// A row of `modules`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Module {
    /// Its id.
    pub id: ModuleId,
    /// The course it is part of.
    pub course_id: CourseId,
    /// Its place in the course, from 1.
    pub ordinal: i64,
    /// Its title.
    pub title: String,
}

/// The modules of a course, in order.
pub async fn list(conn: &mut Conn, course: CourseId) -> Result<Vec<Module>> {
    sql!(
        conn, fetch_all Module,
        "select * from modules where course_id = $1 order by ordinal", course,
    )
}
