//! Whether the process lives, and whether it can work.

use std::collections::BTreeMap;

use platform::health::Status;
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Serialize;

use super::Tag;
use crate::{app::App, caller::Public, json::Json, problem::Problem};

/// The operations on health.
pub(crate) struct Checks;

#[OpenApi(tag = "Tag::Health")]
impl Checks {
    /// Tells whether the process lives.
    ///
    /// It looks at nothing else, so that an orchestrator does not restart a process because of
    /// something that a restart cannot mend. Also at `/api/health`.
    #[oai(path = "/healthz", method = "get", operation_id = "check_liveness")]
    #[expect(
        clippy::unused_async,
        reason = "handlers are async by the macro's rule"
    )]
    async fn check_liveness(&self, _public: Public) -> Alive {
        let version = env!("CARGO_PKG_VERSION");
        Alive::Ok(Json::new(Liveness {
            status: "ok",
            version,
        }))
    }

    /// Tells whether the process can do its work, part by part.
    ///
    /// A part that is starting, such as a model that is being downloaded, is reported and does not
    /// make the process unready: work is accepted and waits for it. Also at `/api/ready`.
    #[oai(path = "/readyz", method = "get", operation_id = "check_readiness")]
    async fn check_readiness(&self, app: Data<&App>, _public: Public) -> Result<Ready, Problem> {
        let mut components = app.health.snapshot();
        let database = match app.conn().await {
            Ok(_) => app.db.ping().await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        let status = match database {
            Ok(()) => Status::Ready,
            Err(_) => Status::Down("The database does not answer.".to_owned()),
        };
        components.insert("database", status);
        let ready = !components
            .values()
            .any(|status| matches!(status, Status::Down(_)));
        let components = components.into_iter().map(Component::named).collect();
        let readiness = Json::new(Readiness { ready, components });
        Ok(if ready {
            Ready::Ok(readiness)
        } else {
            Ready::Unavailable(readiness)
        })
    }
}

#[derive(ApiResponse)]
enum Alive {
    /// The process lives.
    #[oai(status = 200)]
    Ok(Json<Liveness>),
}

#[derive(ApiResponse)]
enum Ready {
    /// It can work.
    #[oai(status = 200)]
    Ok(Json<Readiness>),
    /// A part that it needs is down.
    #[oai(status = 503)]
    Unavailable(Json<Readiness>),
}

/// A sign of life.
#[derive(Debug, Serialize, JsonSchema)]
struct Liveness {
    /// Always `ok`.
    status: &'static str,
    /// The version of the program.
    version: &'static str,
}

/// Whether the process can work.
#[derive(Debug, Serialize, JsonSchema)]
struct Readiness {
    /// Whether no part is down.
    ready: bool,
    /// Every part, by name.
    components: BTreeMap<&'static str, Component>,
}

/// The state of one part of the process.
#[derive(Debug, Serialize, JsonSchema)]
struct Component {
    /// How the part is.
    state: ComponentState,
    /// What it says about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// How a part of the process is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ComponentState {
    /// It does its work.
    Ready,
    /// It is on its way.
    Starting,
    /// It works in a lesser way.
    Degraded,
    /// It does not work.
    Down,
}

impl Component {
    fn named((name, status): (&'static str, Status)) -> (&'static str, Self) {
        let (state, detail) = match status {
            Status::Ready => (ComponentState::Ready, None),
            Status::Starting(detail) => (ComponentState::Starting, Some(detail)),
            Status::Degraded(detail) => (ComponentState::Degraded, Some(detail)),
            Status::Down(detail) => (ComponentState::Down, Some(detail)),
        };
        (name, Self { state, detail })
    }
}
