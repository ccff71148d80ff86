//! A running system for one story, and the client that tells it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use lyo::{config::SystemArgs, embedded::Embedded};
use models::testing::TestDb;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::sse::Events;

/// How long a story waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_mins(4);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    system: SystemArgs,
}

/// The system of `lyo dev`: API, relay and worker in this process, on the starter model.
pub struct TestApp {
    /// The client.
    pub http: Http,
    system: Option<Embedded>,
    args: SystemArgs,
    _data: TempDir,
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
    /// Starts a system on this database.
    pub async fn start(database: &TestDb) -> anyhow::Result<Self> {
        let data = TempDir::new()?;
        let folder = data
            .path()
            .to_str()
            .context("a temporary folder has a UTF-8 name")?;
        let args = [
            ["lyo", "--data"].as_slice(),
            &[
                folder,
                "--database-url",
                &database.url,
                "--model",
                "starter",
            ],
        ];
        let args = Args::try_parse_from(args.concat())?.system;
        let system = Embedded::start(&args, TcpListener::bind("127.0.0.1:0").await?).await?;
        let http = Http::new(&format!("http://{}", system.address))?;
        Ok(Self {
            http,
            system: Some(system),
            args,
            _data: data,
        })
    }

    /// Stops the system as Ctrl-C does, and starts a new one.
    pub async fn drain_and_restart(&mut self) -> anyhow::Result<()> {
        self.system.take().context("it runs")?.drain().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let system = Embedded::start(&self.args, listener).await?;
        self.http = Http::new(&format!("http://{}", system.address))?;
        self.system = Some(system);
        Ok(())
    }

    /// Ends the story: nothing may be queued or running any more.
    pub async fn close(mut self) -> anyhow::Result<()> {
        for state in ["queued", "running", "waiting"] {
            let page = self.http.get(&format!("/v1/tasks?state={state}")).await?;
            ensure!(
                page.body["items"] == Value::Array(vec![]),
                "still {state}: {}",
                page.body
            );
        }
        self.system.take().context("it runs")?.drain().await
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let forgotten = self.system.is_some() && !std::thread::panicking();
        // A story that fails with `?` ends here too, so this cannot be a panic: it would hide why.
        if forgotten {
            eprintln!("the story ended without TestApp::close");
        }
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    base: String,
}

impl Http {
    /// A client of the server at `base`.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        Ok(Self {
            client,
            base: base.to_owned(),
        })
    }

    /// A request to be completed and sent with [`send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
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

    /// Opens the event stream of a task, after the given event.
    pub async fn events(&self, id: &str, after: Option<u64>) -> anyhow::Result<Events> {
        let mut request = self.request(Method::GET, &format!("/v1/tasks/{id}/events"));
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after.to_string());
        }
        Ok(Events::new(request.send().await?.error_for_status()?))
    }
}

/// Sends a request and reads the answer, whatever the status.
pub async fn send(request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
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
