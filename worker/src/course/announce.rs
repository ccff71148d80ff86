//! Tells the author that a course is written, if the author wants to know.

use chrono::{DateTime, Utc};
use jobs::{Task, kinds::SendEmail, store::Options};
use models::{
    Error, Tx,
    contacts::{self, Contact},
    courses::Course,
    emails::Letter,
    preferences,
    templates::{Category, Template},
};
use serde_json::{Map, Value, json};
use tracing::warn;

/// Asks for the mail in the transaction that finishes the course, so that it is asked for once.
///
/// Nothing when nobody knows where the author is reached, or when the author does not want it.
pub(crate) async fn announce(
    tx: &mut Tx,
    course: &Course,
    lessons: usize,
    now: DateTime<Utc>,
) -> models::Result<Option<Task>> {
    let Some(contact) = contacts::find(tx, course.owner_id).await? else {
        return Ok(None);
    };
    if !preferences::wants(tx, &contact.address, Category::Courses).await? {
        return Ok(None);
    }
    let letter = Letter {
        template: Template::CourseReady,
        variables: variables(course, &contact, lessons),
        to: contact.address,
        name: contact.name,
        language: contact.language,
        attachments: Vec::new(),
    };
    match SendEmail::submit(tx, letter, Options::by(course.owner_id), now).await {
        Ok(task) => Ok(Some(task)),
        // A title that cannot stand in a mail is no reason to fail a course, nor is a queue that an
        // operator drains.
        Err(Error::Invalid { field, reason }) => {
            warn!(course.id = %course.id, field, reason, "The author is not told of the course");
            Ok(None)
        }
        Err(Error::Conflict(code)) => {
            warn!(course.id = %course.id, code, "The author is not told of the course");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn variables(course: &Course, contact: &Contact, lessons: usize) -> Map<String, Value> {
    let nobody = || contact.address.local();
    let name = contact.name.as_deref().unwrap_or_else(nobody);
    [
        ("name", json!(name)),
        ("title", json!(course.title.as_deref().unwrap_or_default())),
        ("lessons", json!(lessons)),
        ("path", json!(format!("/v1/courses/{}", course.id))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
