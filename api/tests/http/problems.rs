//! Every problem, provoked over HTTP and held to its snapshot.

use std::{collections::HashSet, time::Duration};

use api::{
    App,
    codes::{ALL, Scope},
    limits::{BODY_BYTES_MAX, Timeouts},
};
use futures_util::stream;
use jobs::bell::Bell;
use models::testing::{TestDb, TestResult};
use platform::health::Health;
use poem::{Body, Route, get, handler, http::Method};
use serde_json::json;

use crate::harness::{Answer, Api};

const JSON: (&str, &str) = ("content-type", "application/json");
const NOBODY: &str = "/v1/tasks/01990000-0000-7000-8000-000000000000";

#[handler]
fn panics() -> String {
    panic!("a secret reason")
}

#[handler]
async fn sleeps() -> String {
    tokio::time::sleep(Duration::from_mins(1)).await;
    String::new()
}

/// The API with paths that misbehave, and with little patience.
fn api(test: &TestDb) -> Api {
    let timeouts = Timeouts {
        body: Duration::from_millis(50),
        request: Duration::from_secs(1),
    };
    let app = App::new(test.db.clone(), Bell::in_process(), Health::default());
    let more = Route::new()
        .at("/test/panics", get(panics))
        .at("/test/sleeps", get(sleeps));
    Api::with(App { timeouts, ..app }, more)
}

/// A request that each problem answers, none of which changes anything for the others.
async fn provoke(api: &Api, code: &str) -> TestResult<Answer> {
    // The id would differ each time otherwise.
    let id = ("x-request-id", "snapshot");
    let read = async |path: &str, header| {
        api.send(Method::GET, path, &[id, header], Body::empty())
            .await
    };
    let submit = async |body: Body, header| {
        api.send(Method::POST, "/v1/tasks", &[id, header], body)
            .await
    };
    match code {
        "malformed_request" => {
            let broken = stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("cut off"))]);
            submit(Body::from_bytes_stream(broken), JSON).await
        }
        "malformed_json" => submit("{\"kind\": ".into(), JSON).await,
        "invalid_parameter" => read("/v1/tasks?limit=1000", id).await,
        "malformed_idempotency_key" => {
            let key = "k".repeat(256);
            let headers = [id, JSON, ("idempotency-key", key.as_str())];
            let body = json!({"kind": "noop", "payload": {"n": 1}}).to_string();
            api.send(Method::POST, "/v1/tasks", &headers, body.into())
                .await
        }
        "origin_not_allowed" => read("/v1/tasks", ("origin", "https://example.com")).await,
        "not_found" => read(NOBODY, id).await,
        "no_such_path" => read("/v1/nothing", id).await,
        "method_not_allowed" => api.send(Method::PUT, NOBODY, &[id], Body::empty()).await,
        "not_acceptable" => read("/v1/tasks", ("accept", "image/png")).await,
        "body_timeout" => {
            submit(
                Body::from_bytes_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>()),
                JSON,
            )
            .await
        }
        "body_too_large" => submit(" ".repeat(BODY_BYTES_MAX + 1).into(), JSON).await,
        "unsupported_media_type" => submit("n=1".into(), ("content-type", "text/plain")).await,
        "host_not_allowed" => read("/v1/tasks", ("host", "rebound.example.com")).await,
        "validation_failed" => submit(r#"{"kind": "noop", "payload": {}}"#.into(), JSON).await,
        "internal" => read("/test/panics", id).await,
        "request_timeout" => read("/test/sleeps", id).await,
        _ => provoke_by_state(api, code, id).await,
    }
}

/// The problems that need something to be there first.
async fn provoke_by_state(api: &Api, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    let noop = |n: i64| json!({"kind": "noop", "payload": {"n": n}});
    let brief = json!({"topic": "Tide pools"});
    match code {
        "course_not_finished" => {
            let path = api
                .post("/v1/courses", &brief)
                .await?
                .word("/links/subject");
            api.get_with(&format!("{path}/export"), &[id]).await
        }
        "precondition_failed" => {
            let path = api
                .post("/v1/courses", &brief)
                .await?
                .word("/links/subject");
            let headers = [id, ("if-match", "\"7\"")];
            api.send(Method::DELETE, &path, &headers, Body::empty())
                .await
        }
        "task_live" => {
            let path = format!("/v1/tasks/{}", api.noop(1).await?);
            api.send(Method::DELETE, &path, &[id], Body::empty()).await
        }
        "task_succeeded" => {
            let task = api.noop(1).await?;
            api.succeed(task).await?;
            let path = format!("/v1/tasks/{task}/retry");
            api.send(Method::POST, &path, &[id], Body::empty()).await
        }
        "idempotency_mismatch" => {
            let headers = [id, ("idempotency-key", "once")];
            api.post_with("/v1/tasks", &noop(1), &headers).await?;
            api.post_with("/v1/tasks", &noop(2), &headers).await
        }
        "database_unavailable" => {
            api.app.db.close().await;
            api.get_with(NOBODY, &[id]).await
        }
        other => Err(format!("no test provokes `{other}`").into()),
    }
}

#[tokio::test]
async fn every_problem_is_provoked_and_looks_as_documented() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let answers_requests = ALL.iter().filter(|code| code.scope != Scope::Tasks);

    for code in answers_requests {
        let answer = provoke(&api, code.name).await?;

        assert_eq!(
            answer.problem(),
            (code.status, code.name.to_owned()),
            "{}",
            answer.text
        );
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{}",
            code.name
        );
        assert_eq!(answer.header("x-request-id"), "snapshot", "{}", code.name);
        assert!(!answer.text.contains("secret"), "{} tells why", code.name);
        // Ids in paths differ each time.
        let mut body = answer.json();
        let path = answer.word("/instance");
        body["instance"] = path
            .split('/')
            .map(without_id)
            .collect::<Vec<_>>()
            .join("/")
            .into();
        insta::assert_json_snapshot!(code.name, body);
    }
    Ok(())
}

fn without_id(part: &str) -> &str {
    if part.len() == 36 { "{id}" } else { part }
}

#[tokio::test]
async fn a_path_says_which_methods_it_takes() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let allowed = async |path: &str| {
        let answer = api.send(Method::PATCH, path, &[], Body::empty()).await?;
        assert_eq!(
            answer.problem(),
            (405, "method_not_allowed".to_owned()),
            "{path}"
        );
        let mut methods: Vec<_> = answer
            .header("allow")
            .split(", ")
            .map(str::to_owned)
            .collect();
        methods.sort();
        TestResult::Ok(methods.join(" "))
    };

    assert_eq!(allowed("/v1/tasks").await?, "GET HEAD POST");
    assert_eq!(allowed(NOBODY).await?, "DELETE GET HEAD");
    assert_eq!(allowed(&format!("/api{NOBODY}/cancel")).await?, "POST");
    assert_eq!(allowed("/openapi.json").await?, "GET HEAD");
    test.close().await
}

#[tokio::test]
async fn every_problem_has_a_page_in_two_forms() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let mut seen = HashSet::new();

    for code in ALL {
        let json = api.get(&code.reference()).await?;
        let html = api
            .get_with(&code.reference(), &[("accept", "text/html,*/*;q=0.8")])
            .await?;

        assert_eq!(json.word("/code"), code.name);
        assert!(
            html.header("content-type").starts_with("text/html"),
            "{}",
            code.name
        );
        assert!(html.text.contains(code.remedy), "{}", code.name);
        assert!(seen.insert(json.word("/type")), "{}", code.name);
    }
    assert_eq!(api.get("/problems/no-such-problem").await?.problem().0, 404);
    test.close().await
}

#[tokio::test]
async fn a_refused_field_is_named_by_its_pointer() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let cases = [
        ("/v1/courses", json!({}), "/topic", "missing"),
        (
            "/v1/courses",
            json!({"topic": "Tides", "colour": "red"}),
            "/colour",
            "unknown",
        ),
        (
            "/v1/courses",
            json!({"topic": "Tides", "lessons": 61}),
            "/lessons",
            "invalid",
        ),
        (
            "/v1/courses",
            json!({"topic": "Tides", "lessons": "six"}),
            "/lessons",
            "invalid",
        ),
        (
            "/v1/courses",
            json!({"topic": "Tides", "objectives": ["a", ""]}),
            "/objectives/1",
            "invalid",
        ),
        ("/v1/tasks", json!({"kind": "noop"}), "/payload", "missing"),
        (
            "/v1/tasks",
            json!({"kind": "noop", "payload": {}}),
            "/payload/n",
            "missing",
        ),
        (
            "/v1/tasks",
            json!({"kind": "noop", "payload": {"n": 1, "m": 2}}),
            "/payload/m",
            "invalid",
        ),
        (
            "/v1/tasks",
            json!({"kind": "course.generate", "payload": {}}),
            "/kind",
            "unknown",
        ),
        (
            "/v1/tasks/batch",
            json!({"items": [{"payload": {}}]}),
            "/items/0/kind",
            "missing",
        ),
        ("/v1/tasks/batch", json!({"items": []}), "/items", "invalid"),
    ];

    for (path, body, pointer, code) in cases {
        let answer = api.post(path, &body).await?;

        assert_eq!(
            answer.problem(),
            (422, "validation_failed".to_owned()),
            "{body}"
        );
        assert_eq!(answer.word("/errors/0/pointer"), pointer, "{body}");
        assert_eq!(answer.word("/errors/0/code"), code, "{body}");
    }
    test.close().await
}

#[tokio::test]
async fn a_deep_body_is_refused_before_it_is_built() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = api(&test);
    let deep = "[".repeat(33) + &"]".repeat(33);

    let answer = api
        .send(Method::POST, "/v1/tasks", &[JSON], deep.into())
        .await?;

    assert_eq!(answer.problem(), (400, "malformed_json".to_owned()));
    test.close().await
}
