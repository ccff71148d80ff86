//! What every handler shares, and the endpoint that is built from it.

use std::{pin::pin, sync::Arc};

use jobs::{Event, State, Task, bell::Bell, store::Glance};
use models::{Conn, Db, Tx, id::TaskId};
use platform::health::Health;
use poem::{Endpoint, EndpointExt, Response, Route, endpoint::make_sync, get, web::Html};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    access::SigningKeys,
    caller::Caller,
    edge,
    limits::{
        CONNECTIONS_MAX, FILES_ARRIVING_MAX, FILES_ARRIVING_PER_CALLER_MAX, RESETS_AT_ONCE_MAX,
        SOCKETS_PER_CALLER_MAX, Timeouts,
    },
    methods::Methods,
    network::Network,
    openapi,
    operator::Operators,
    outage::Outage,
    passwords::Passwords,
    problem::Problem,
    reads::Reads,
    routes::{self, metrics::Looked, webhooks::WebhookKey, ws},
    seats::Seats,
    standings::Standings,
    stored_files::Files,
    submissions::{self, Item, Stored, Submissions},
    throttle::{Left, Policy, Throttle},
};

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
    /// Whether whoever reaches the API without a token is the author of this machine.
    pub open: bool,
    /// By which tokens are known to be ours.
    pub keys: SigningKeys,
    /// Who may operate the system, besides accounts with that role.
    pub operators: Operators,
    /// What the network around the API is like.
    pub network: Network,
    /// Proves that events come from `SendGrid`; none are taken without it.
    pub sendgrid_key: Option<WebhookKey>,
    /// Every open WebSocket.
    pub sockets: Seats,
    /// Every file that is arriving.
    pub arrivals: Seats,
    /// Where files lie; none are taken without a place.
    pub files: Files,
    /// What makes files of uploads, beside the requests that ask for it.
    pub(crate) joining: TaskTracker,
    submissions: Submissions,
    pub(crate) reads: Reads,
    pub(crate) looked: Looked,
    pub(crate) passwords: Passwords,
    pub(crate) standings: Standings,
    pub(crate) throttle: Throttle,
    /// Room for those that write a mail beside an answer.
    pub(crate) resets: Arc<Semaphore>,
    outage: Outage,
}

impl App {
    /// An application that nothing stops yet, for those on this machine.
    pub fn new(db: Db, bell: Bell, health: Health) -> Self {
        Self {
            submissions: submissions::submissions(&db),
            reads: Reads::new(&db),
            throttle: Throttle::new(bell.connection()),
            db,
            bell,
            health,
            stop: CancellationToken::new(),
            timeouts: Timeouts::default(),
            open: true,
            keys: SigningKeys::ephemeral(),
            operators: Operators::default(),
            network: Network::default(),
            sendgrid_key: None,
            sockets: Seats::new(SOCKETS_PER_CALLER_MAX, CONNECTIONS_MAX / 2),
            arrivals: Seats::new(FILES_ARRIVING_PER_CALLER_MAX, FILES_ARRIVING_MAX),
            joining: TaskTracker::new(),
            files: Files::default(),
            looked: Looked::default(),
            passwords: Passwords::default(),
            standings: Standings::default(),
            resets: Arc::new(Semaphore::new(RESETS_AT_ONCE_MAX)),
            outage: Outage::default(),
        }
    }

    /// Admits one more request under a policy, or says how long to wait.
    pub(crate) async fn admit(&self, policy: Policy, key: &str) -> Result<Left, Problem> {
        let admitted = self.throttle.admit(policy, key).await;
        admitted.map_err(Problem::limited)
    }

    /// A connection to read with.
    pub(crate) async fn conn(&self) -> Result<Conn, Problem> {
        self.in_time(Box::pin(self.db.conn())).await
    }

    /// A transaction to write in.
    pub(crate) async fn begin(&self) -> Result<Tx, Problem> {
        self.in_time(Box::pin(self.db.begin())).await
    }

    /// Stores a submission, together with those that come at the same time.
    pub(crate) async fn submit(&self, item: Item) -> Result<Stored, Problem> {
        self.in_time(pin!(self.submissions.add(item))).await
    }

    /// A task of the caller, if there is one, read together with those that others ask for.
    pub(crate) async fn task(&self, caller: Caller, id: TaskId) -> Result<Option<Task>, Problem> {
        self.in_time(pin!(self.reads.tasks.add((caller.owner, id))))
            .await
    }

    /// The same at a glance.
    pub(crate) async fn glance(
        &self,
        caller: Caller,
        id: TaskId,
    ) -> Result<Option<Glance>, Problem> {
        self.in_time(pin!(self.reads.glances.add((caller.owner, id))))
            .await
    }

    /// The events of a task after one, a page at most; none when there is no such task of the caller.
    pub(crate) async fn events(
        &self,
        caller: Caller,
        id: TaskId,
        after: i64,
    ) -> Result<Vec<Event>, Problem> {
        self.in_time(pin!(self.reads.events.add((caller.owner, id, after))))
            .await
    }

    /// How many due tasks of its queue come before a task.
    pub(crate) async fn position(&self, task: &Task) -> Result<i64, Problem> {
        if task.state != State::Queued || task.run_at > self.db.now() {
            return Ok(0);
        }
        let front = self
            .in_time(pin!(self.reads.fronts.add(task.queue)))
            .await?;
        Ok(front.before(task))
    }

    /// The future stays with who asks: a request's own is moved on its way here, and moving it is a good
    /// part of what a poll costs.
    async fn in_time<T>(
        &self,
        asking: impl Future<Output = models::Result<T>> + Unpin,
    ) -> Result<T, Problem> {
        let answered = tokio::select! {
            biased;
            answered = asking => answered,
            () = self.outage.certain(&self.db) => {
                Err(models::Error::unavailable("it is away"))
            }
        };
        let away = matches!(&answered, Err(error) if error.is_unavailable());
        self.outage.found(away);
        Ok(answered?)
    }
}

/// The whole HTTP interface over `app`: paths, error answers, limits.
pub fn build(app: App) -> impl Endpoint<Output = Response> + 'static {
    build_with(app, Route::new())
}

/// The same with paths of one's own inside of the same edge: those of a test, for example.
pub fn build_with(app: App, more: Route) -> impl Endpoint<Output = Response> + 'static {
    let (timeouts, open, network) = (app.timeouts, app.open, app.network.clone());
    if let Err(error) = platform::metrics::install() {
        warn!(%error, "Nothing is counted: {error:#}");
    }
    edge::wrap(
        paths(app, more),
        Methods::of::<routes::Api>(),
        timeouts,
        open,
        network,
    )
}

/// The paths alone, without the edge around them.
fn paths(app: App, more: Route) -> impl Endpoint<Output = Response> + 'static {
    let document = make_sync(|_| {
        Response::builder()
            .content_type("application/json")
            .body(openapi::spec())
    });
    more.nest("/", openapi::service())
        .at("/v1/ws", get(ws::connect))
        .at("/openapi.json", get(document))
        .at("/docs", get(make_sync(|_| Html(openapi::page()))))
        .data(app)
        .map_to_response()
}
