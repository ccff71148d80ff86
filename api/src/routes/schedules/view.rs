//! A schedule as clients write it and as they see it.

use chrono::{DateTime, Utc};
use jobs::{
    Priority,
    cron::LENGTH_MAX,
    store::schedules::{Draft, Misfire, Schedule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    limits::SCHEDULE_NAME_MAX,
    problem::Problem,
    routes::tasks::{
        submission::{NoopPayload, Submission, kind_schema, object},
        view::{TaskPriority, path},
    },
};

/// A schedule as its owner writes it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = example())]
pub(super) struct ScheduleInput {
    /// For people, at most 200 characters.
    #[schemars(length(min = 1, max = SCHEDULE_NAME_MAX))]
    name: String,
    /// When: a cron expression of minute, hour, day of month, month and day of week.
    #[schemars(length(max = LENGTH_MAX))]
    cron: String,
    /// Where: a name of the IANA time zone database.
    #[serde(default = "utc")]
    time_zone: String,
    /// What happens to firings that nobody was there for.
    #[serde(default = "once")]
    #[schemars(with = "ScheduleMisfire")]
    misfire: Misfire,
    /// The kind of its tasks.
    #[schemars(schema_with = "kind_schema")]
    kind: String,
    /// What the kind of work takes.
    #[serde(deserialize_with = "object")]
    #[schemars(with = "NoopPayload")]
    payload: Value,
    /// What is worked on first.
    #[serde(default)]
    #[schemars(with = "TaskPriority")]
    priority: Priority,
    /// Whether it fires.
    #[serde(default = "yes")]
    enabled: bool,
}

fn example() -> Value {
    serde_json::json!({
        "name": "Every night", "cron": "30 2 * * *", "time_zone": "Europe/Berlin",
        "kind": "noop", "payload": {"n": 1},
    })
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn once() -> Misfire {
    Misfire::Once
}

const fn yes() -> bool {
    true
}

impl ScheduleInput {
    /// The schedule, once its task is one that a client may submit.
    pub(super) fn draft(self, now: DateTime<Utc>) -> Result<Draft, Problem> {
        if !(1..=SCHEDULE_NAME_MAX).contains(&self.name.chars().count()) {
            let reason = format!("must have 1 to {SCHEDULE_NAME_MAX} characters");
            return Err(Problem::field("/name", "invalid", reason));
        }
        let submission = Submission {
            kind: self.kind,
            payload: self.payload,
            priority: self.priority,
            run_at: None,
            expires_at: None,
        };
        submission.check(now)?;
        Ok(Draft {
            name: self.name,
            cron: self.cron,
            time_zone: self.time_zone,
            misfire: self.misfire,
            kind: submission.kind,
            payload: submission.payload,
            priority: self.priority,
            enabled: self.enabled,
        })
    }
}

/// What happens to firings that nobody was there for: a minute late is missed.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `jobs` to clients")]
enum ScheduleMisfire {
    /// Nothing.
    Skip,
    /// The schedule fires once for all of them.
    Once,
    /// Each is made up for.
    All,
}

/// A schedule.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Schedule")]
pub(super) struct ScheduleView {
    /// A UUID of version 7.
    id: Uuid,
    /// Rises with every edit; the ETag is made from it.
    version: i64,
    /// For people.
    name: String,
    /// When.
    cron: String,
    /// Where.
    time_zone: String,
    /// What happens to firings that nobody was there for.
    #[schemars(with = "ScheduleMisfire")]
    misfire: Misfire,
    /// The kind of its tasks.
    kind: String,
    /// What its tasks are asked for.
    #[schemars(with = "Map<String, Value>")]
    payload: Value,
    /// What is worked on first.
    #[schemars(with = "TaskPriority")]
    priority: Priority,
    /// Whether it fires.
    enabled: bool,
    /// When it fires next.
    next_at: Option<DateTime<Utc>>,
    /// The time of its last firing.
    last_at: Option<DateTime<Utc>>,
    /// Where the task of its last firing is.
    last_task: Option<String>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last edited.
    updated_at: DateTime<Utc>,
}

impl From<Schedule> for ScheduleView {
    fn from(schedule: Schedule) -> Self {
        Self {
            id: schedule.id.into(),
            version: schedule.version,
            name: schedule.name,
            cron: schedule.cron,
            time_zone: schedule.time_zone,
            misfire: schedule.misfire,
            kind: schedule.kind,
            payload: schedule.payload,
            priority: schedule.priority,
            enabled: schedule.enabled,
            next_at: schedule.next_at,
            last_at: schedule.last_at,
            last_task: schedule.last_task_id.map(path),
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
        }
    }
}
