//! The HTTP client of the command line: the same API that everybody else uses.

use std::time::Duration;

use chrono::{DateTime, Utc};
use platform::config::Secret;
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{ETAG, IF_NONE_MATCH},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// How long the server may hold a request for a task that does not change.
const WAIT: Duration = Duration::from_secs(20);

/// How much longer than `WAIT` an answer may take before the connection counts as dead.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(WAIT.as_secs() + 15);

/// Why a request brought no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody answered: the server is gone, or not there yet. Trying again may help.
    #[error("{0} does not answer")]
    Unreachable(String, #[source] reqwest::Error),
    /// The server said no, and why.
    #[error("{0}")]
    Problem(Problem),
    /// The answer is not what the contract promises.
    #[error("the server's answer cannot be read")]
    Answer(#[source] reqwest::Error),
}

impl Error {
    /// Whether the same request may succeed later: nobody answered, or the server is overloaded.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(..) => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 502..=504),
            Self::Answer(_) => false,
        }
    }

    fn of_body(base: &str, error: reqwest::Error) -> Self {
        // A server that dies in the middle of an answer is gone, not wrong.
        if error.is_decode() {
            Self::Answer(error)
        } else {
            Self::Unreachable(base.to_owned(), error)
        }
    }
}

/// A problem as RFC 9457 has it, with the API's own members.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable name of the problem.
    pub code: String,
    /// What is wrong, in general.
    pub title: String,
    /// What is wrong, in this case.
    pub detail: Option<String>,
    /// What is wrong with each field.
    pub errors: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct FieldError {
    /// The field as a JSON pointer, for example `/lessons`.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for error in &self.errors {
            let field = error.pointer.trim_start_matches('/');
            write!(f, "{field}: {}", error.detail)?;
            f.write_str(if self.errors.len() > 1 { "; " } else { "" })?;
        }
        if self.errors.is_empty() {
            f.write_str(self.detail.as_deref().unwrap_or(&self.title))?;
        }
        Ok(())
    }
}

/// What the command line needs of a task.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Task {
    /// Its id.
    pub id: String,
    /// Its state, for example `running`.
    pub state: String,
    /// Whether it has ended.
    pub done: bool,
    /// How far it is.
    pub progress: Progress,
    /// When it will probably end, once it has some speed.
    pub eta: Option<Eta>,
    /// Why nothing happens, while nothing happens.
    pub waiting: Option<Waiting>,
    /// Why it failed, or why it is being tried again.
    pub error: Option<Problem>,
    /// What went less than well.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Where to find what belongs to it.
    pub links: Links,
}

/// How far a task is.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Progress {
    /// From 0 to 100.
    pub percent: f64,
    /// What is being done, for people.
    pub message: Option<String>,
    /// How many parts are done.
    pub completed: Option<u64>,
    /// How many parts there are.
    pub total: Option<u64>,
}

/// When a task will probably end.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Eta {
    /// As likely earlier as later.
    pub p50: DateTime<Utc>,
}

/// Why a task waits.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Waiting {
    /// The reason, for example `backoff`.
    pub reason: String,
}

/// Where to find what belongs to a task.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Links {
    /// What the task works on, for example `/v1/courses/0199...`.
    pub subject: Option<String>,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
struct Page<T> {
    items: Vec<T>,
}

/// A task as last seen, with the validator that asks for changes.
pub(crate) struct Seen {
    /// The task.
    pub task: Task,
    etag: Option<String>,
}

/// One server.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<Secret>,
}

impl Client {
    /// A client of the server at `base`, for example `http://127.0.0.1:8080`, with the token that it
    /// asks for, if it does.
    ///
    /// # Errors
    /// When the system's TLS cannot be set up.
    pub(crate) fn new(base: &str, token: Option<Secret>) -> Result<Self, Error> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("lyo/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .timeout(REQUEST_TIMEOUT);
        // A proxy of the environment is for other hosts.
        let local = base.starts_with("http://127.") || base.starts_with("http://localhost");
        let builder = if local { builder.no_proxy() } else { builder };
        let http = builder.build().map_err(Error::Answer)?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            token,
        })
    }

    /// Asks for a course. The same key never makes a second one.
    pub(crate) async fn submit(&self, brief: &Value, key: &str) -> Result<Task, Error> {
        let request = self.request(Method::POST, "/v1/courses");
        self.read(
            self.send(request.header("Idempotency-Key", key).json(brief))
                .await?,
        )
        .await
    }

    /// The task as it is now.
    pub(crate) async fn task(&self, id: &str) -> Result<Seen, Error> {
        self.seen(
            self.send(self.request(Method::GET, &format!("/v1/tasks/{id}")))
                .await?,
        )
        .await
    }

    /// Waits until the task has changed; `None` when it did not for some time.
    pub(crate) async fn changed(&self, seen_before: &Seen) -> Result<Option<Seen>, Error> {
        let path = format!("/v1/tasks/{}", seen_before.task.id);
        let mut request = self
            .request(Method::GET, &path)
            .header("Prefer", format!("wait={}", WAIT.as_secs()));
        if let Some(etag) = &seen_before.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let answer = self.send(request).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        self.seen(answer).await.map(Some)
    }

    /// The newest course task that has not ended.
    pub(crate) async fn unfinished(&self) -> Result<Option<Task>, Error> {
        let path = "/v1/tasks?kind=course.generate&limit=100";
        let page: Page<Task> = self.json(path).await?;
        Ok(page.items.into_iter().find(|task| !task.done))
    }

    /// Whatever stands at a path of the API, as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.read(self.send(self.request(Method::GET, path)).await?)
            .await
    }

    /// Whatever stands at a path of the API, as text.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Error> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        answer
            .text()
            .await
            .map_err(|error| Error::of_body(&self.base, error))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    /// Sends a request; an answer of 400 or more is an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let unreachable = |error| Error::Unreachable(self.base.clone(), error);
        let answer = request.send().await.map_err(unreachable)?;
        if !answer.status().is_client_error() && !answer.status().is_server_error() {
            return Ok(answer);
        }
        let status = answer.status();
        let problem = answer.json().await.unwrap_or_else(|_| Problem {
            status: status.as_u16(),
            title: format!("{} answered {status}", self.base),
            ..Problem::default()
        });
        Err(Error::Problem(problem))
    }

    async fn seen(&self, answer: Response) -> Result<Seen, Error> {
        let etag = answer
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok());
        let etag = etag.map(str::to_owned);
        Ok(Seen {
            task: self.read(answer).await?,
            etag,
        })
    }

    async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<T, Error> {
        answer
            .json()
            .await
            .map_err(|error| Error::of_body(&self.base, error))
    }
}
