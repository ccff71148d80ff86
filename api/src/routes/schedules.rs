//! Schedules: tasks that are submitted again and again, at the times of a cron expression.

use chrono::{DateTime, Utc};
use jobs::{
    Priority,
    store::schedules::{self, Draft, Misfire, Schedule},
};
use models::ScheduleId;
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Tag,
    tasks::{submission::Submission, view::{TaskPriority, path}},
};
use crate::{
    app::App,
    body::Body,
    caller::Caller,
    conditional::{etag, require},
    json::Json,
    limits::SCHEDULE_TEXT_MAX,
    page::{self, PageView},
    problem::Problem,
};

/// The operations on schedules.
pub(crate) struct Schedules;

#[OpenApi(tag = "Tag::Schedules")]
impl Schedules {
    /// Makes a schedule.
    ///
    /// However many servers there are, each of its times fires once.
    #[oai(path = "/v1/schedules", method = "post", operation_id = "create_schedule")]
    async fn create_schedule(
        &self,
        app: Data<&App>,
        caller: Caller,
        body: Body<ScheduleInput>,
    ) -> Result<Created, Problem> {
        let now = app.db.now();
        let draft = body.value.draft(now)?;
        let mut tx = app.begin().await?;
        let schedule = schedules::create(&mut tx, caller.owner, &draft, now).await?;
        tx.commit().await?;
        app.bell.nudge();
        let location = format!("/v1/schedules/{}", schedule.id);
        let version = etag(schedule.version);
        Ok(Created::Ok(Json::new(schedule.into()), location, version))
    }

    /// Lists the caller's schedules, newest first.
    #[oai(path = "/v1/schedules", method = "get", operation_id = "list_schedules")]
    async fn list_schedules(
        &self,
        app: Data<&App>,
        caller: Caller,
        /// Where to go on: `next` of the page before.
        #[oai(validator(pattern = "^0[0-9a-f]{47}$"))]
        cursor: Query<Option<String>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let (cursor, limit) = page::bounds(cursor.as_deref(), limit.0)?;
        let mut conn = app.conn().await?;
        let page = schedules::list(&mut conn, caller.owner, cursor, limit).await?;
        Ok(Listed::Ok(Json::new(PageView::of(page, ScheduleView::from))))
    }

    /// Reads a schedule.
    #[oai(path = "/v1/schedules/:id", method = "get", operation_id = "get_schedule")]
    async fn get_schedule(
        &self,
        app: Data<&App>,
        caller: Caller,
        /// The id of the schedule.
        id: Path<Uuid>,
    ) -> Result<Found, Problem> {
        Ok(Found::of(get(&app, caller, id.0.into()).await?))
    }

    /// Writes a schedule anew; it fires next at the first of its times after now.
    #[oai(path = "/v1/schedules/:id", method = "put", operation_id = "update_schedule")]
    async fn update_schedule(
        &self,
        app: Data<&App>,
        caller: Caller,
        /// The id of the schedule.
        id: Path<Uuid>,
        /// The ETag of the version that is to be replaced.
        #[oai(name = "If-Match")]
        known: Header<Option<String>>,
        body: Body<ScheduleInput>,
    ) -> Result<Found, Problem> {
        let (id, now) = (id.0.into(), app.db.now());
        let draft = body.value.draft(now)?;
        let mut tx = app.begin().await?;
        let schedule = schedules::update(&mut tx, caller.owner, id, &draft, now).await?;
        // Looked at after the row was locked; refused, the update is rolled back.
        require(known.as_deref(), schedule.version - 1)?;
        tx.commit().await?;
        app.bell.nudge();
        Ok(Found::of(schedule))
    }

    /// Forgets a schedule; its tasks stay.
    #[oai(path = "/v1/schedules/:id", method = "delete", operation_id = "delete_schedule")]
    async fn delete_schedule(
        &self,
        app: Data<&App>,
        caller: Caller,
        /// The id of the schedule.
        id: Path<Uuid>,
    ) -> Result<Deleted, Problem> {
        let mut tx = app.begin().await?;
        schedules::delete(&mut tx, caller.owner, id.0.into()).await?;
        tx.commit().await?;
        Ok(Deleted::Done)
    }
}

async fn get(app: &App, caller: Caller, id: ScheduleId) -> Result<Schedule, Problem> {
    let schedule = schedules::find(&mut app.conn().await?, caller.owner, id).await?;
    Ok(schedule.ok_or(models::Error::NotFound("schedule"))?)
}

#[derive(ApiResponse)]
enum Created {
    /// The schedule is stored.
    #[oai(status = 201)]
    Ok(
        Json<ScheduleView>,
        /// Where the schedule is found.
        #[oai(header = "Location")]
        String,
        /// The version of the schedule.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of schedules.
    #[oai(status = 200)]
    Ok(Json<PageView<ScheduleView>>),
}

#[derive(ApiResponse)]
enum Found {
    /// The schedule as it is now.
    #[oai(status = 200)]
    Ok(
        Json<ScheduleView>,
        /// The version of the schedule.
        #[oai(header = "ETag")]
        String,
    ),
}

impl Found {
    fn of(schedule: Schedule) -> Self {
        let version = etag(schedule.version);
        Self::Ok(Json::new(schedule.into()), version)
    }
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}

/// A schedule as its owner writes it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScheduleInput {
    /// For people, at most 200 characters.
    #[schemars(length(min = 1, max = 200))]
    name: String,
    /// When: minute, hour, day of month, month, day of week.
    #[schemars(length(max = 200))]
    cron: String,
    /// Where: a name of the IANA time zone database.
    #[serde(default = "utc")]
    time_zone: String,
    /// What happens to firings that nobody was there for.
    #[serde(default = "once")]
    #[schemars(with = "ScheduleMisfire")]
    misfire: Misfire,
    /// The kind of its tasks; it must be open to clients.
    kind: String,
    /// What the kind of work takes.
    #[schemars(with = "Map<String, Value>")]
    payload: Value,
    /// What is worked on first.
    #[serde(default)]
    #[schemars(with = "TaskPriority")]
    priority: Priority,
    /// Whether it fires.
    #[serde(default = "yes")]
    enabled: bool,
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
    fn draft(self, now: DateTime<Utc>) -> Result<Draft, Problem> {
        for (pointer, text) in [("/name", &self.name), ("/cron", &self.cron)] {
            if !(1..=SCHEDULE_TEXT_MAX).contains(&text.chars().count()) {
                let reason = format!("must have 1 to {SCHEDULE_TEXT_MAX} characters");
                return Err(Problem::field(pointer, "invalid", reason));
            }
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
struct ScheduleView {
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
