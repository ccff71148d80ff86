//! Asks the APIs of the fleet, any of which may be gone.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use models::TaskId;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::fleet::Fleet;

/// How long an answer may take before nobody knows what became of the request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the same question is asked again.
const PATIENCE: Duration = Duration::from_mins(5);
/// How soon it is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

/// Somebody who asks: a handle to share, cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Whom to ask.
    pub fleet: Arc<Fleet>,
}

impl Client {
    /// A client of this fleet.
    ///
    /// # Errors
    /// When the system's TLS cannot be set up.
    pub(crate) fn new(fleet: Arc<Fleet>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .build()?;
        Ok(Self { http, fleet })
    }

    /// A task to be submitted under a key, by the API of this number.
    pub(crate) fn submit(&self, api: u32, key: &str, payload: &Value) -> reqwest::RequestBuilder {
        let body = serde_json::json!({"kind": "noop", "payload": payload});
        self.request(Method::POST, api, "/v1/tasks")
            .header("Idempotency-Key", key)
            .json(&body)
    }

    /// A request to the API of this number.
    pub(crate) fn request(&self, method: Method, api: u32, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.fleet.base(api)))
    }

    /// GET from one API after the other until one has it.
    ///
    /// # Errors
    /// When there is no such thing, or nobody answers for 5 minutes.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let began = Instant::now();
        let mut api = 0;
        loop {
            if let Ok(answer) = send(self.request(Method::GET, api, path)).await {
                if answer.status == StatusCode::OK {
                    return Ok(answer.body);
                }
                ensure!(answer.status.is_server_error(), "{path}: {answer:?}");
            }
            ensure!(began.elapsed() < PATIENCE, "nobody answers {path}");
            sleep(PAUSE).await;
            api += 1;
        }
    }

    /// Asks until a resource is as wanted.
    ///
    /// # Errors
    /// When that takes longer than 5 minutes.
    pub(crate) async fn until(
        &self,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let looking = async {
            loop {
                let found = self.get(path).await?;
                if wanted(&found) {
                    return Ok(found);
                }
                sleep(PAUSE).await;
            }
        };
        timeout(PATIENCE, looking)
            .await
            .with_context(|| format!("{path} does not come to be as wanted"))?
    }
}

/// Sends a request and reads the answer.
///
/// # Errors
/// When there is none: nobody knows whether the request was heard.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    Ok(Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    })
}

/// The id in a task.
pub(crate) fn id(task: &Value) -> Option<TaskId> {
    task["id"].as_str()?.parse().ok()
}
