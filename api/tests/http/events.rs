//! The stream of a task's events.

use std::time::Duration;

use models::{Db, on_both, roles::Role, testing::TestResult, users};
use poem::{Body, Route, http::Method};
use tokio::time::timeout;

use crate::{
    harness::{Answer, Api},
    people::{closed, token, user},
};

const PATIENCE: Duration = Duration::from_mins(1);

/// The id and the name of each event of a stream.
fn events(stream: &Answer) -> Vec<(i64, String)> {
    let field = |event: &str, name: &str| {
        let line = event
            .lines()
            .find_map(|line| line.strip_prefix(name).map(str::to_owned));
        line.unwrap_or_default()
    };
    let all = stream
        .text
        .split("\n\n")
        .filter(|event| event.starts_with("id: "));
    all.map(|event| {
        (
            field(event, "id: ").parse().unwrap_or(0),
            field(event, "event: "),
        )
    })
    .collect()
}

on_both! {
    async fn events_come_in_order_without_a_gap_until_the_end(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        let path = format!("/v1/tasks/{id}/events");

        // The reader comes first, and gets what happens while it reads.
        let read = api.get(&path);
        let (stream, ()) = tokio::try_join!(read, api.succeed(id))?;

        let expected = ["state", "state", "done"].map(str::to_owned);
        assert_eq!(stream.header("content-type"), "text/event-stream");
        assert_eq!(stream.header("cache-control"), "no-cache");
        assert_eq!(events(&stream), (1..).zip(expected).collect::<Vec<_>>());
        Ok(())
    }

    async fn a_reader_that_comes_back_goes_on_where_it_was(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        api.succeed(id).await?;
        let path = format!("/v1/tasks/{id}/events");

        let rest = api.get_with(&path, &[("last-event-id", "1")]).await?;
        let nothing = api.get_with(&path, &[("last-event-id", "3")]).await?;
        let odd = api.get_with(&path, &[("last-event-id", "x")]).await?;

        assert_eq!(events(&rest), [(2, "state".to_owned()), (3, "done".to_owned())]);
        assert_eq!(nothing.status, 204);
        assert_eq!(odd.problem(), (400, "invalid_parameter".to_owned()));
        Ok(())
    }

    async fn a_stream_goes_on_after_a_retry(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        api.fail(id).await?;
        api.post(&format!("/v1/tasks/{id}/retry"), &serde_json::Value::Null).await?;
        api.succeed(id).await?;

        let stream = api.get(&format!("/v1/tasks/{id}/events")).await?;

        let names: Vec<_> = events(&stream).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["state", "state", "done", "state", "state", "done"]);
        Ok(())
    }

    async fn a_stream_ends_with_the_rights_of_its_reader(db: &Db) -> TestResult {
        let mut app = closed(db).app;
        app.timeouts.comment = Duration::from_millis(20);
        let api = Api::with(app, Route::new());
        let ada = user(db, "ada", Role::Author).await?;
        let by = token(&api, ada).await?;
        let noop = serde_json::json!({"kind": "noop", "payload": {"n": 1}});
        let task = api.by(&by, Method::POST, "/v1/tasks", Some(&noop)).await?;
        let path = format!("/v1/tasks/{}/events", task.word("/id"));
        let headers = [("authorization", by.as_str())];

        let stream = api.open(Method::GET, &path, &headers, Body::empty()).await?;
        let mut tx = db.begin().await?;
        users::suspend(&mut tx, ada, true, db.now()).await?;
        tx.commit().await?;
        let status = stream.status();
        let text = timeout(PATIENCE, stream.into_body().into_string()).await??;

        assert_eq!(status, 200);
        assert!(text.starts_with("id: 1\nevent: state\n"), "{text}");
        assert!(!text.contains("event: done"), "{text}");
        Ok(())
    }

    async fn a_stopping_server_ends_its_streams(db: &Db) -> TestResult {
        let api = Api::new(db);
        let id = api.noop(1).await?;
        api.app.stop.cancel();

        let stream = api.get(&format!("/v1/tasks/{id}/events")).await?;

        assert_eq!(events(&stream), [(1, "state".to_owned())]);
        Ok(())
    }
}
