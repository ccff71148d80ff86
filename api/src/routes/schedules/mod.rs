//! Schedules: tasks that are submitted again and again, at the times of a cron expression.

mod view;

use jobs::store::schedules::{self, Schedule};
use models::ScheduleId;
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
};
use serde_json::json;
use uuid::Uuid;

use self::view::{ScheduleInput, ScheduleView};
use super::Tag;
use crate::{
    app::App,
    body::Body,
    caller::{Caller, May, Permission},
    conditional::{etag, present, require},
    idempotency::{Attempt, Replay},
    json::Json,
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
    #[oai(
        path = "/v1/schedules",
        method = "post",
        operation_id = "create_schedule"
    )]
    async fn create_schedule(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteSchedules as u8 }>,
        /// Repeating a request with its key does nothing twice.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<String>>,
        body: Body<ScheduleInput>,
    ) -> Result<Created, Problem> {
        let attempt = Attempt::new(caller, "create_schedule", key.as_deref(), &body.fingerprint)?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if let Some(replay) = attempt.claim(&mut tx, now).await? {
            drop(tx);
            return Ok(Created::of(get(&app, caller, made(replay)?).await?, true));
        }
        let draft = body.value.draft(now)?;
        let schedule = schedules::create(&mut tx, caller.owner, &draft, now).await?;
        let answer = Replay::Document(json!({"schedule_id": schedule.id}));
        attempt.answer(&mut tx, &answer).await?;
        tx.commit().await?;
        app.bell.nudge();
        Ok(Created::of(schedule, false))
    }

    /// Lists the caller's schedules, newest first.
    #[oai(
        path = "/v1/schedules",
        method = "get",
        operation_id = "list_schedules"
    )]
    async fn list_schedules(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadSchedules as u8 }>,
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
        Ok(Listed::Ok(Json::new(PageView::of(
            page,
            ScheduleView::from,
        ))))
    }

    /// Reads a schedule.
    #[oai(
        path = "/v1/schedules/:id",
        method = "get",
        operation_id = "get_schedule"
    )]
    async fn get_schedule(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadSchedules as u8 }>,
        /// The id of the schedule.
        id: Path<Uuid>,
    ) -> Result<Found, Problem> {
        Ok(Found::of(get(&app, caller, id.0.into()).await?))
    }

    /// Writes a schedule anew; it fires next at the first of its times after now.
    #[oai(
        path = "/v1/schedules/:id",
        method = "put",
        operation_id = "update_schedule"
    )]
    async fn update_schedule(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteSchedules as u8 }>,
        /// The id of the schedule.
        id: Path<Uuid>,
        /// The ETag of the version that is to be replaced. It must be there.
        #[oai(name = "If-Match")]
        known: Header<Option<String>>,
        body: Body<ScheduleInput>,
    ) -> Result<Found, Problem> {
        let (id, now) = (id.0.into(), app.db.now());
        let known = present(known.as_deref())?;
        let draft = body.value.draft(now)?;
        let mut tx = app.begin().await?;
        let schedule = schedules::update(&mut tx, caller.owner, id, &draft, now).await?;
        // Looked at after the row was locked; refused, the update is rolled back.
        require(Some(known), schedule.version - 1)?;
        tx.commit().await?;
        app.bell.nudge();
        Ok(Found::of(schedule))
    }

    /// Forgets a schedule; its tasks stay.
    #[oai(
        path = "/v1/schedules/:id",
        method = "delete",
        operation_id = "delete_schedule"
    )]
    async fn delete_schedule(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteSchedules as u8 }>,
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

/// The schedule that a key stands for.
fn made(replay: Replay) -> Result<ScheduleId, Problem> {
    let id = match replay {
        Replay::Document(document) => document["schedule_id"]
            .as_str()
            .and_then(|id| id.parse().ok()),
        Replay::Task(_) => None,
    };
    id.ok_or_else(|| Problem::internal("the key of a schedule stands for something else"))
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
        /// `true` when an earlier request with the same key had made it.
        #[oai(header = "Idempotent-Replayed")]
        Option<String>,
    ),
}

impl Created {
    fn of(schedule: Schedule, replayed: bool) -> Self {
        let location = format!("/v1/schedules/{}", schedule.id);
        let version = etag(schedule.version);
        let replayed = replayed.then(|| "true".to_owned());
        Self::Ok(Json::new(schedule.into()), location, version, replayed)
    }
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
