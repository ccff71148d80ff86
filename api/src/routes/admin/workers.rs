//! Workers: which ones live, and what they run.

use chrono::{DateTime, Utc};
use jobs::store::workers::{self, Hand, Worker};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    app::App,
    caller::{May, Permission},
    json::Json,
    problem::Problem,
    routes::Tag,
};

/// The operations on workers.
pub(crate) struct Workers;

#[OpenApi(tag = "Tag::Admin")]
impl Workers {
    /// Lists the workers that reported within the last 20 seconds, and what they run.
    #[oai(
        path = "/v1/admin/workers",
        method = "get",
        operation_id = "list_workers"
    )]
    async fn list_workers(
        &self,
        app: Data<&App>,
        _may: May<{ Permission::ReadWorkers as u8 }>,
    ) -> Result<Listed, Problem> {
        let mut conn = app.conn().await?;
        let workers = workers::list(&mut conn, app.db.now()).await?;
        let running = workers::running(&mut conn).await?;
        let items = workers
            .into_iter()
            .map(|worker| WorkerView::new(worker, &running))
            .collect();
        Ok(Listed::Ok(Json::new(WorkerList { items })))
    }
}

#[derive(ApiResponse)]
enum Listed {
    /// The workers.
    #[oai(status = 200)]
    Ok(Json<WorkerList>),
}

/// Every worker.
#[derive(Debug, Serialize, JsonSchema)]
struct WorkerList {
    /// The workers, the latest to report first.
    items: Vec<WorkerView>,
}

/// A worker process.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
struct WorkerView {
    /// Its name, different from start to start.
    name: String,
    /// Its release.
    version: String,
    /// The queues that it serves.
    queues: Vec<&'static str>,
    /// Tasks of a queue that it runs at the same time.
    concurrency: i64,
    /// When it started.
    started_at: DateTime<Utc>,
    /// When it last reported.
    seen_at: DateTime<Utc>,
    /// What it runs.
    running: Vec<RunningView>,
}

/// A task in the hands of a worker.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Running")]
struct RunningView {
    /// The task.
    id: Uuid,
    /// Its kind.
    kind: String,
}

impl WorkerView {
    fn new(worker: Worker, running: &[Hand]) -> Self {
        let running = running
            .iter()
            .filter(|hand| hand.worker == worker.name)
            .map(|hand| RunningView {
                id: hand.id.into(),
                kind: hand.kind.clone(),
            });
        Self {
            running: running.collect(),
            name: worker.name,
            version: worker.version,
            queues: worker.queues.iter().map(|queue| queue.as_str()).collect(),
            concurrency: worker.concurrency,
            started_at: worker.started_at,
            seen_at: worker.seen_at,
        }
    }
}
