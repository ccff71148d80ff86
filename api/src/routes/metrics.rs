//! What Prometheus reads.

use std::{sync::Arc, time::Duration};

use jobs::store::{durations, workers};
use metrics::gauge;
use platform::metrics as registry;
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi, payload::PlainText};
use tokio::{sync::Mutex, time::Instant};

use super::{Tag, admin};
use crate::{
    app::App,
    caller::{May, Permission},
    problem::Problem,
};

/// The database is looked at no more often, however many scrape.
const PERIOD: Duration = Duration::from_secs(2);

/// When the database was last looked at.
pub(crate) type Looked = Arc<Mutex<Option<Instant>>>;

/// The operations on metrics.
pub(crate) struct Metrics;

#[OpenApi(tag = "Tag::Health")]
impl Metrics {
    /// Tells what this process has counted, and what the queues hold.
    ///
    /// In the text format of Prometheus. Also at `/api/metrics`.
    #[oai(path = "/metrics", method = "get", operation_id = "read_metrics")]
    async fn read_metrics(
        &self,
        app: Data<&App>,
        _may: May<{ Permission::ReadMetrics as u8 }>,
    ) -> Result<Scraped, Problem> {
        let up = look(&app).await.is_ok();
        gauge!("db_up").set(f64::from(u8::from(up)));
        let text = registry::render().map_err(|error| Problem::internal(error.to_string()))?;
        Ok(Scraped::Ok(PlainText(text)))
    }
}

/// Looks at the database, unless somebody just did.
async fn look(app: &App) -> Result<(), Problem> {
    let mut looked = app.looked.lock().await;
    if looked.is_some_and(|at| at.elapsed() < PERIOD) {
        return Ok(());
    }
    let (idle, all) = app.db.connections();
    gauge!("db_connections", "state" => "idle").set(count(idle));
    gauge!("db_connections", "state" => "used").set(count(all.saturating_sub(idle)));
    for queue in admin::queues::views(app).await? {
        queue.measure();
    }
    let mut conn = app.conn().await?;
    let living = workers::list(&mut conn, app.db.now()).await?;
    gauge!("workers").set(count(living.len()));
    for (kind, known) in durations::all(&mut conn).await? {
        for (name, tasks) in [
            ("eta_judged", known.judged),
            ("eta_within_p50", known.within_p50),
            ("eta_within_p90", known.within_p90),
        ] {
            gauge!(name, "kind" => kind.clone()).set(count(usize::try_from(tasks).unwrap_or(0)));
        }
    }
    *looked = Some(Instant::now());
    Ok(())
}

/// A number as a gauge has it.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

#[derive(ApiResponse)]
enum Scraped {
    /// Everything that is measured.
    #[oai(status = 200)]
    Ok(PlainText<String>),
}
