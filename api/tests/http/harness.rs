//! The API over a database, and the answers it gives.

use std::time::Duration;

use api::{App, build_with};
use jobs::{Failure, Task, Usage, bell::Bell, store};
use models::{Db, id::TaskId, testing::TestResult};
use platform::health::Health;
use poem::{
    Body, Endpoint, EndpointExt, Request, Response, Route,
    endpoint::BoxEndpoint,
    http::{HeaderMap, Method, StatusCode},
};
use serde_json::Value;

/// The built endpoint, called without a socket.
pub(crate) struct Api {
    pub(crate) app: App,
    endpoint: BoxEndpoint<'static>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Api {
    /// The API over a database, as it is served.
    pub(crate) fn new(db: &Db) -> Self {
        Self::with(
            App::new(db.clone(), Bell::in_process(), Health::default()),
            Route::new(),
        )
    }

    /// The API over `app`, with the paths of a test.
    pub(crate) fn with(app: App, more: Route) -> Self {
        Self {
            endpoint: build_with(app.clone(), more).boxed(),
            app,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> TestResult<Answer> {
        self.send(Method::GET, path, &[], Body::empty()).await
    }

    pub(crate) async fn get_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> TestResult<Answer> {
        self.send(Method::GET, path, headers, Body::empty()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> TestResult<Answer> {
        self.send(Method::DELETE, path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> TestResult<Answer> {
        self.post_with(path, body, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> TestResult<Answer> {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send(
            Method::POST,
            path,
            &headers,
            Body::from_string(body.to_string()),
        )
        .await
    }

    /// Any request at all.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> TestResult<Answer> {
        let response = self.open(method, path, headers, body).await?;
        let (parts, body) = response.into_parts();
        let text = body.into_string().await?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        })
    }

    /// The same, and an answer that is not read yet.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> TestResult<Response> {
        let mut request = Request::builder().method(method).uri(path.parse()?);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(self.endpoint.get_response(request.body(body)).await)
    }

    /// Has a queue take nothing new, or everything again.
    pub(crate) async fn drain(&self, queue: &str, drains: bool) -> TestResult {
        let body = serde_json::json!({"mode": if drains { "draining" } else { "open" }});
        let answer = self
            .put(&format!("/v1/admin/queues/{queue}"), &body)
            .await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Ok(())
    }

    /// Replaces whatever is there.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> TestResult<Answer> {
        let headers = [("content-type", "application/json"), ("if-match", "*")];
        let body = Body::from_string(body.to_string());
        self.send(Method::PUT, path, &headers, body).await
    }

    /// Submits a task that does nothing, and answers its id.
    pub(crate) async fn noop(&self, n: i64) -> TestResult<TaskId> {
        let body = serde_json::json!({"kind": "noop", "payload": {"n": n}});
        let answer = self.post("/v1/tasks", &body).await?;
        assert_eq!(answer.status, 202, "{}", answer.text);
        Ok(answer.word("/id").parse()?)
    }

    /// Starts a task, as a worker does. A task whose row is locked is passed over and rung for
    /// again; here the rollback of a refused request may still be on its way.
    pub(crate) async fn start(&self, id: TaskId) -> TestResult<Task> {
        let db = &self.app.db;
        for _ in 0..100 {
            if let Some(task) = store::start(db, &[id], "test", db.now()).await?.pop() {
                self.app.bell.tell(&task, db.now());
                return Ok(task);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err("the task cannot be started".into())
    }

    /// Starts a task and ends it well.
    pub(crate) async fn succeed(&self, id: TaskId) -> TestResult {
        let (task, now) = (self.start(id).await?, self.app.db.now());
        let mut tx = self.app.db.begin().await?;
        let result = Some(&task.payload);
        let changed =
            store::succeed(&mut tx, task.lease(), result, &[], Usage::default(), now).await?;
        tx.commit().await?;
        self.app.bell.tell_all(&changed, now);
        Ok(())
    }

    /// Starts a task and ends it badly.
    pub(crate) async fn fail(&self, id: TaskId) -> TestResult {
        let (task, now) = (self.start(id).await?, self.app.db.now());
        let mut tx = self.app.db.begin().await?;
        let failure = Failure {
            code: "model_unavailable".to_owned(),
            detail: "There is no model.".to_owned(),
            attempt: task.attempt,
            retryable: true,
        };
        let changed = store::fail(&mut tx, task.lease(), &failure, now).await?;
        tx.commit().await?;
        self.app.bell.tell_all(&changed, now);
        Ok(())
    }
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A value of the body, by JSON pointer; null when it is absent.
    pub(crate) fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or_default()
    }

    /// A text of the body, by JSON pointer; empty when it is absent.
    pub(crate) fn word(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_default().to_owned()
    }

    /// A header; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The status and the code of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        (self.status.as_u16(), self.word("/code"))
    }
}
