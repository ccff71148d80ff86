//! What every handler shares, and the endpoint that is built from it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jobs::bell::Bell;
use models::{Conn, Db, Tx};
use platform::health::Health;
use poem::{Endpoint, EndpointExt, Response, Route, endpoint::make_sync, get, web::Html};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    codes, edge, limits::Timeouts, methods::Methods, openapi, operator::Operators,
    problem::Problem,
    routes::{self, metrics::Looked},
};

/// How long a request waits for a connection to a database that did not answer the last time.
/// The first to notice waits as long as the pool does, since a busy database deserves that; those
/// who come after it learn within a second that it is away.
const AWAY_TIMEOUT: Duration = Duration::from_millis(900);

/// What the handlers work with; clones share it.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub db: Db,
    /// Tells workers of new tasks, and waiting requests of changed ones.
    pub bell: Bell,
    /// What the parts of this process say of themselves.
    pub health: Health,
    /// Ends long waits and event streams when the server stops.
    pub stop: CancellationToken,
    /// How long requests may take.
    pub timeouts: Timeouts,
    /// Who may operate the system.
    pub operators: Operators,
    pub(crate) looked: Looked,
    /// Whether the database did not answer the last time.
    away: Arc<AtomicBool>,
}

impl App {
    /// An application that nothing stops yet.
    pub fn new(db: Db, bell: Bell, health: Health) -> Self {
        Self {
            db,
            bell,
            health,
            stop: CancellationToken::new(),
            timeouts: Timeouts::default(),
            operators: Operators::default(),
            looked: Looked::default(),
            away: Arc::default(),
        }
    }

    /// A connection to read with.
    pub(crate) async fn conn(&self) -> Result<Conn, Problem> {
        self.in_time(self.db.conn()).await
    }

    /// A transaction to write in.
    pub(crate) async fn begin(&self) -> Result<Tx, Problem> {
        self.in_time(self.db.begin()).await
    }

    async fn in_time<T>(
        &self,
        connecting: impl Future<Output = models::Result<T>>,
    ) -> Result<T, Problem> {
        let connected = if self.away.load(Ordering::Relaxed) {
            match timeout(AWAY_TIMEOUT, connecting).await {
                Ok(connected) => connected.map_err(Problem::from),
                Err(_) => Err(Problem::new(
                    &codes::DATABASE_UNAVAILABLE,
                    codes::DATABASE_UNAVAILABLE.meaning,
                )),
            }
        } else {
            connecting.await.map_err(Problem::from)
        };
        self.away.store(connected.is_err(), Ordering::Relaxed);
        connected
    }
}

/// The whole HTTP interface over `app`: paths, error answers, limits.
pub fn build(app: App) -> impl Endpoint<Output = Response> + 'static {
    build_with(app, Route::new())
}

/// The same with paths of one's own inside of the same edge: those of a test, for example.
pub fn build_with(app: App, more: Route) -> impl Endpoint<Output = Response> + 'static {
    let timeouts = app.timeouts;
    if let Err(error) = platform::metrics::install() {
        warn!(%error, "Nothing is counted: {error:#}");
    }
    edge::wrap(paths(app, more), Methods::of::<routes::Api>(), timeouts)
}

/// The paths alone, without the edge around them.
fn paths(app: App, more: Route) -> impl Endpoint<Output = Response> + 'static {
    let document = make_sync(|_| {
        Response::builder()
            .content_type("application/json")
            .body(openapi::spec())
    });
    more.nest("/", openapi::service())
        .at("/openapi.json", get(document))
        .at("/docs", get(make_sync(|_| Html(openapi::page()))))
        .data(app)
        .map_to_response()
}
