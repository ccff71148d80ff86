//! Queues: what they hold, and pausing, resuming and draining them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use jobs::{
    Queue, kinds,
    store::{
        durations::{self, Durations},
        queues::{self, Control, Load, Mode},
    },
};
use metrics::gauge;
use models::audit::{self, Action};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, param::Path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    body::Body,
    caller::{May, Permission},
    json::Json,
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// A task of a kind that was never observed counts as this share of its time limit.
const UNOBSERVED_SHARE: f64 = 0.1;

/// The operations on queues.
pub(crate) struct Queues;

#[OpenApi(tag = "Tag::Admin")]
impl Queues {
    /// Lists the queues: what each does, what it holds, and how long that will take.
    #[oai(
        path = "/v1/admin/queues",
        method = "get",
        operation_id = "list_queues"
    )]
    async fn list_queues(
        &self,
        app: Data<&App>,
        _may: May<{ Permission::ReadQueues as u8 }>,
    ) -> Result<Listed, Problem> {
        let items = views(&app).await?;
        Ok(Listed::Ok(Json::new(QueueList { items })))
    }

    /// Pauses a queue, until a time or until told otherwise, resumes or drains it.
    ///
    /// A paused queue takes tasks and starts none; what runs goes on. A draining one starts what it
    /// has and takes nothing new.
    #[oai(
        path = "/v1/admin/queues/:queue",
        method = "put",
        operation_id = "update_queue"
    )]
    async fn update_queue(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SteerQueues as u8 }>,
        place: Place,
        context: RequestContext,
        /// The name of the queue.
        queue: Path<String>,
        body: Body<QueueUpdate>,
    ) -> Result<Updated, Problem> {
        let queue: Queue = queue
            .parse()
            .map_err(|_| models::Error::NotFound("queue"))?;
        let control = Control {
            queue,
            mode: body.value.mode,
            paused_until: body.value.paused_until,
        };
        let mut tx = app.begin().await?;
        let now = app.db.now();
        queues::update(&mut tx, control, now).await?;
        let subject = format!("queues/{queue}");
        let deed = caller.deed(Action::QueueSteered, subject, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        app.bell.nudge();
        let view = views(&app)
            .await?
            .into_iter()
            .find(|view| view.queue == queue.as_str());
        view.map(|view| Updated::Ok(Json::new(view)))
            .ok_or_else(|| Problem::internal("a queue is not in the list of queues"))
    }
}

/// Every queue as it is now.
pub(crate) async fn views(app: &App) -> Result<Vec<QueueView>, Problem> {
    let (mut conn, now) = (app.conn().await?, app.db.now());
    let controls = queues::list(&mut conn, now).await?;
    let loads = queues::load(&mut conn, now).await?;
    let durations = durations::all(&mut conn).await?;
    let view = |control| QueueView::new(control, &loads, &durations, now);
    Ok(controls.into_iter().map(view).collect())
}

#[derive(ApiResponse)]
enum Listed {
    /// The queues.
    #[oai(status = 200)]
    Ok(Json<QueueList>),
}

#[derive(ApiResponse)]
enum Updated {
    /// The queue as it is now.
    #[oai(status = 200)]
    Ok(Json<QueueView>),
}

/// What a queue is to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QueueUpdate {
    /// What it does from now on.
    #[schemars(with = "QueueMode")]
    mode: Mode,
    /// When a pause ends by itself; only with `paused`.
    #[serde(default)]
    paused_until: Option<DateTime<Utc>>,
}

/// What a queue does.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `jobs` to clients")]
enum QueueMode {
    /// It takes tasks and starts them.
    Open,
    /// It takes tasks and starts none.
    Paused,
    /// It starts what it has and takes nothing new.
    Draining,
}

/// Every queue.
#[derive(Debug, Serialize, JsonSchema)]
struct QueueList {
    /// The queues.
    items: Vec<QueueView>,
}

/// A queue.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Queue")]
pub(crate) struct QueueView {
    /// Its name.
    pub(crate) queue: &'static str,
    /// What it does.
    #[schemars(with = "QueueMode")]
    mode: Mode,
    /// When a pause ends by itself.
    paused_until: Option<DateTime<Utc>>,
    /// Tasks that could start now.
    due: i64,
    /// Tasks whose time has not come.
    scheduled: i64,
    /// Tasks that run.
    running: i64,
    /// How long the oldest of those that could start has waited.
    oldest_age_seconds: f64,
    /// How long one worker would be busy with what is due and what runs, by the durations of late.
    work_seconds: f64,
}

impl QueueView {
    fn new(
        control: Control,
        loads: &[Load],
        durations: &HashMap<String, Durations>,
        now: DateTime<Utc>,
    ) -> Self {
        let loads = || loads.iter().filter(|load| load.queue == control.queue);
        let oldest_at = loads().filter_map(|load| load.oldest_at).min();
        Self {
            queue: control.queue.as_str(),
            mode: control.mode,
            paused_until: control.paused_until,
            due: loads().map(|load| load.due).sum(),
            scheduled: loads().map(|load| load.scheduled).sum(),
            running: loads().map(|load| load.running).sum(),
            oldest_age_seconds: oldest_at.map_or(0.0, |at| (now - at).as_seconds_f64()),
            work_seconds: loads().map(|load| work_seconds(load, durations)).sum(),
        }
    }

    /// Tells the queue to those who scrape.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn measure(&self) {
        for (name, value) in [
            ("tasks_waiting", self.due as f64),
            ("tasks_scheduled", self.scheduled as f64),
            ("tasks_running", self.running as f64),
            ("tasks_oldest_seconds", self.oldest_age_seconds),
            ("tasks_work_seconds", self.work_seconds),
        ] {
            gauge!(name, "queue" => self.queue).set(value);
        }
    }
}

/// How long one worker would be busy; what runs is taken to be half done.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn work_seconds(load: &Load, durations: &HashMap<String, Durations>) -> f64 {
    let observed = durations.get(&load.kind).filter(|known| known.samples > 0);
    let each = match (observed, kinds::find(&load.kind)) {
        (Some(known), _) => known.busy_seconds,
        (None, Some(kind)) => kind.timeout.as_secs_f64() * UNOBSERVED_SHARE,
        (None, None) => 0.0,
    };
    each * (load.due as f64 + load.running as f64 / 2.0)
}
