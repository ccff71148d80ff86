//! A running system for one story, and the client that tells it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use lyo::{config::SystemArgs, embedded::Embedded};
use media::{Limits, Pool};
use models::testing::TestDb;
use reqwest::{
    Method, StatusCode,
    header::{AUTHORIZATION, HeaderMap},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    canaries::{self, Logs},
    fleet::{Fleet, program},
    sse::Events,
    ws::Socket,
};

/// How long a story waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_mins(4);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    system: SystemArgs,
}

/// Where a story plays: a database of its own, and one process or many.
#[derive(Debug)]
pub struct Stage {
    /// The database.
    pub database: TestDb,
    /// Whether the parts are processes of their own.
    pub fleet: bool,
}

/// A running system, on the starter model.
pub struct TestApp {
    /// The client.
    pub http: Http,
    system: System,
    _data: TempDir,
}

enum System {
    /// The system of `lyo dev`: API, relay and worker in this process.
    Embedded(Option<Embedded>, Box<SystemArgs>, Logs),
    /// Child processes over PostgreSQL and Redis.
    Fleet(Box<Fleet>),
}

/// Plays each story embedded on SQLite, embedded on PostgreSQL, and as a fleet of processes.
///
/// The bodies take `stage: &Stage` and return [`models::testing::TestResult`].
#[macro_export]
macro_rules! everywhere {
    (async fn $name:ident($stage:ident: &Stage) -> $result:ty $body:block $($rest:tt)*) => {
        mod $name {
            use super::*;

            async fn body($stage: &$crate::app::Stage) -> $result $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() -> $result {
                let database = models::testing::TestDb::sqlite().await?;
                let stage = $crate::app::Stage { database, fleet: false };
                body(&stage).await?;
                stage.database.close().await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() -> $result {
                let database = models::testing::TestDb::postgres().await?;
                let stage = $crate::app::Stage { database, fleet: false };
                body(&stage).await?;
                stage.database.close().await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn fleet() -> $result {
                let database = models::testing::TestDb::postgres().await?;
                let stage = $crate::app::Stage { database, fleet: true };
                body(&stage).await?;
                stage.database.close().await
            }
        }
        $crate::everywhere! { $($rest)* }
    };
    () => {};
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body: JSON, or a string when it is not JSON.
    pub body: Value,
}

impl TestApp {
    /// Starts a system on this stage.
    pub async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let data = TempDir::new()?;
        let system = if stage.fleet {
            let fleet = Fleet::start(&stage.database.url, data.path()).await?;
            System::Fleet(Box::new(fleet))
        } else {
            let logs = Logs::start(None);
            let args = args(data.path(), &stage.database.url)?;
            System::Embedded(Some(embedded(&args).await?), Box::new(args), logs)
        };
        Ok(Self {
            http: Http::new(&system.bases()?)?,
            system,
            _data: data,
        })
    }

    /// Stops what works as Ctrl-C does, and starts it anew.
    pub async fn drain_and_restart(&mut self) -> anyhow::Result<()> {
        match &mut self.system {
            System::Embedded(system, args, _) => {
                system.take().context("it runs")?.drain().await?;
                *system = Some(embedded(args).await?);
            }
            System::Fleet(fleet) => {
                fleet.stop_workers().await?;
                fleet.start_workers().await?;
            }
        }
        self.http = Http::new(&self.system.bases()?)?;
        Ok(())
    }

    /// The processes, when the story plays in a fleet.
    pub fn fleet(&mut self) -> anyhow::Result<&mut Fleet> {
        match &mut self.system {
            System::Fleet(fleet) => Ok(fleet),
            System::Embedded(..) => bail!("there is one process only"),
        }
    }

    /// Ends the story: nothing may be queued or running any more, and no log may hold a secret. Answers how
    /// many lines were logged.
    pub async fn close(self) -> anyhow::Result<usize> {
        for state in ["queued", "running", "waiting"] {
            let page = self.http.get(&format!("/v1/tasks?state={state}")).await?;
            ensure!(
                page.body["items"] == Value::Array(vec![]),
                "still {state}: {}",
                page.body
            );
        }
        match self.system {
            System::Embedded(system, _, logs) => {
                system.context("it runs")?.drain().await?;
                logs.search()
            }
            System::Fleet(fleet) => fleet.stop().await,
        }
    }
}

impl System {
    fn bases(&self) -> anyhow::Result<Vec<String>> {
        Ok(match self {
            Self::Embedded(system, ..) => {
                let address = system.as_ref().context("it runs")?.address;
                vec![format!("http://{address}")]
            }
            Self::Fleet(fleet) => fleet.bases(),
        })
    }
}

fn args(data: &Path, database: &str) -> anyhow::Result<SystemArgs> {
    let data = data
        .to_str()
        .context("a temporary folder has a UTF-8 name")?;
    let words = [
        "lyo",
        "--data",
        data,
        "--database-url",
        database,
        "--model",
        "starter",
    ];
    Ok(Args::try_parse_from(words)?.system)
}

async fn embedded(args: &SystemArgs) -> anyhow::Result<Embedded> {
    // This program is a test, which does not know what to do as the child of another.
    let pictures = Pool::of_program(Limits::default(), program("lyo")?);
    Embedded::start(args, pictures, TcpListener::bind("127.0.0.1:0").await?).await
}

/// A client of one or more servers, which asks one after the other.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    bases: Arc<[String]>,
    asked: Arc<AtomicUsize>,
}

impl Http {
    /// A client of the servers at these addresses.
    pub fn new(bases: &[String]) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        Ok(Self {
            client,
            bases: bases.into(),
            asked: Arc::default(),
        })
    }

    /// A request to be completed and sent with [`send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.base()))
    }

    /// GET, whatever the status.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body, whatever the status.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// Submits a task of the diagnostic kind and gives back its id.
    pub async fn noop(&self, payload: Value) -> anyhow::Result<String> {
        let body = serde_json::json!({"kind": "noop", "payload": payload});
        let answer = self.post("/v1/tasks", &body).await?;
        ensure!(answer.status == StatusCode::ACCEPTED, "{answer:?}");
        answer.text("id")
    }

    /// Long-polls a task until it has ended.
    pub async fn ended(&self, id: &str) -> anyhow::Result<Value> {
        self.until(&format!("/v1/tasks/{id}"), |task| task["done"] == true)
            .await
    }

    /// Long-polls a resource until it is as wanted, within [`PATIENCE`].
    pub async fn until(
        &self,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let began = Instant::now();
        let mut etag = String::new();
        loop {
            let request = self.request(Method::GET, path).header("Prefer", "wait=2");
            let answer = send(request.header("If-None-Match", &etag)).await?;
            if answer.status != StatusCode::NOT_MODIFIED {
                ensure!(answer.status == StatusCode::OK, "{path}: {answer:?}");
                if wanted(&answer.body) {
                    return Ok(answer.body);
                }
                answer
                    .header("etag")
                    .unwrap_or_default()
                    .clone_into(&mut etag);
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "{path} is still {}",
                answer.body
            );
            // A resource that cannot be long-polled answers at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Opens a WebSocket.
    pub async fn socket(&self) -> anyhow::Result<Socket> {
        Socket::open(self.base()).await
    }

    /// The server whose turn it is.
    fn base(&self) -> &str {
        let turn = self.asked.fetch_add(1, Ordering::Relaxed);
        &self.bases[turn % self.bases.len()]
    }

    /// Opens the event stream of a task, after the given event.
    pub async fn events(&self, id: &str, after: Option<u64>) -> anyhow::Result<Events> {
        let mut request = self.request(Method::GET, &format!("/v1/tasks/{id}/events"));
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after.to_string());
        }
        Ok(Events::new(request.send().await?.error_for_status()?))
    }
}

/// Sends a request and reads the answer, whatever the status. What is secret in them must not be logged.
pub async fn send(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let (client, request) = request.build_split();
    let request = request?;
    let token = request.headers().get(AUTHORIZATION);
    if let Some((_, token)) = token.and_then(|token| token.to_str().ok()?.split_once(' ')) {
        canaries::plant(token);
    }
    let sent = request.body().and_then(reqwest::Body::as_bytes);
    if let Some(body) = sent.and_then(|body| serde_json::from_slice::<Value>(body).ok()) {
        canaries::plant_all(&body);
    }
    let answer = client.execute(request).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    canaries::plant_all(&body);
    Ok(Answer {
        status,
        headers,
        body,
    })
}

impl Answer {
    /// A string member of the body.
    pub fn text(&self, member: &str) -> anyhow::Result<String> {
        let text = self.body[member].as_str();
        Ok(text
            .with_context(|| format!("no {member} in {self:?}"))?
            .to_owned())
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
