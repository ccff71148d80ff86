//! A request that provokes each problem, over paths that misbehave.

use std::time::Duration;

use api::{
    App, Operators, Seats,
    access::LIFETIME,
    limits::{BODY_BYTES_MAX, Timeouts},
};
use chrono::TimeDelta;
use futures_util::stream;
use jobs::{bell::Bell, store::schedules::SCHEDULES_MAX};
use models::{
    OwnerId, SessionId,
    api_keys::KEYS_MAX,
    roles::Role,
    testing::{TestDb, TestResult},
    tokens::Purpose,
    users,
};
use platform::health::Health;
use poem::{Body, Route, get, handler, http::Method};
use serde_json::json;

use crate::{
    harness::{Answer, Api},
    people::{PASSWORD, closed, link, token, user, with_password, with_second_factor},
    provoke_files::provoke_by_files,
};

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const NOBODY: &str = "/v1/tasks/01990000-0000-7000-8000-000000000000";

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
pub(crate) fn api(test: &TestDb) -> Api {
    let timeouts = Timeouts {
        body: Duration::from_millis(50),
        request: Duration::from_secs(1),
        ..Timeouts::default()
    };
    let mut app = App::new(test.db.clone(), Bell::in_process(), Health::default());
    app.timeouts = timeouts;
    let more = Route::new()
        .at("/test/panics", get(panics))
        .at("/test/sleeps", get(sleeps));
    Api::with(app, more)
}

/// The problems of those who sign in, and of those who look after them.
const OF_ACCOUNTS: &[&str] = &[
    "token_required",
    "session_required",
    "token_expired",
    "credentials_invalid",
    "second_factor_required",
    "second_factor_invalid",
    "second_factor_on",
    "refresh_token_invalid",
    "account_suspended",
    "address_taken",
    "too_many_keys",
    "not_over_them",
    "rate_limited",
];

/// A request that each problem answers, none of which changes anything for the others.
pub(crate) async fn provoke(api: &Api, code: &str) -> TestResult<Answer> {
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
        "idempotency_key_required" | "signature_invalid" | "link_invalid" => {
            provoke_by_mail(api, code, id).await
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
        "upgrade_required" | "too_many_sockets" => provoke_by_socket(api, code, id).await,
        "permission_missing" => read("/v1/admin/queues", id).await,
        "token_invalid" => read("/v1/tasks", ("authorization", "Bearer secret")).await,
        _ if OF_ACCOUNTS.contains(&code) => provoke_by_account(api, code, id).await,
        _ => provoke_by_state(api, code, id).await,
    }
}

/// The problems of those who sign in.
async fn provoke_by_account(api: &Api, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    let (app, closed) = (&api.app, closed(&api.app.db));
    let (db, now) = (&app.db, app.db.now());
    let login = json!({"address": "nobody@example.com", "password": "secret"});
    match code {
        "token_required" => closed.get_with("/v1/tasks", &[id]).await,
        "session_required" => api.post_with("/v1/logout", &json!({}), &[id]).await,
        "token_expired" => {
            let then = now - TimeDelta::hours(1);
            let token = app
                .keys
                .sign(OwnerId::LOCAL, SessionId::new(), 1, then, LIFETIME);
            let sent = format!("Bearer {token}");
            api.get_with("/v1/tasks", &[id, ("authorization", &sent)])
                .await
        }
        "refresh_token_invalid" => {
            let body = json!({"refresh_token": "secret"});
            api.post_with("/v1/refresh", &body, &[id]).await
        }
        "account_suspended" => {
            let eve = user(db, "eve", Role::Author).await?;
            with_password(db, eve).await?;
            let mut tx = db.begin().await?;
            users::suspend(&mut tx, eve, true, now).await?;
            tx.commit().await?;
            let body = json!({"address": "eve@example.com", "password": PASSWORD});
            api.post_with("/v1/login", &body, &[id]).await
        }
        "address_taken" => {
            let body = json!({"address": "bob@example.com", "name": "Bob", "password": PASSWORD});
            let asked = api.post("/v1/register", &body).await?;
            assert_eq!(asked.status, 202, "{}", asked.text);
            let body = json!({"token": link(db, "bob@example.com", Purpose::Verify).await?});
            user(db, "bob", Role::Author).await?;
            api.post_with("/v1/verify", &body, &[id]).await
        }
        _ if code.starts_with("second_factor") => provoke_by_second_factor(&closed, code, id).await,
        "too_many_keys" | "not_over_them" => provoke_by_staff(&closed, code, id).await,
        "rate_limited" => {
            for _ in 0..20 {
                closed.post("/v1/login", &login).await?;
            }
            closed.post_with("/v1/login", &login, &[id]).await
        }
        _ => api.post_with("/v1/login", &login, &[id]).await,
    }
}

/// The problems of those who prove themselves twice.
async fn provoke_by_second_factor(api: &Api, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    let (db, name) = (&api.app.db, code.replace('_', "-"));
    let user = user(db, &name, Role::Author).await?;
    with_password(db, user).await?;
    with_second_factor(db, user).await?;
    if code == "second_factor_on" {
        let by = token(api, user).await?;
        let headers = [id, ("authorization", by.as_str())];
        let body = json!({"password": PASSWORD});
        return api
            .post_with("/v1/users/me/second-factor", &body, &headers)
            .await;
    }
    let sent = (code == "second_factor_invalid").then_some("nonsense");
    let address = format!("{name}@example.com");
    let body = json!({"address": address, "password": PASSWORD, "code": sent});
    api.post_with("/v1/login", &body, &[id]).await
}

/// The problems of those who look after accounts and keys.
async fn provoke_by_staff(api: &Api, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    let root = user(&api.app.db, code, Role::Admin).await?;
    let by = token(api, root).await?;
    let headers = [id, ("authorization", by.as_str())];
    if code == "not_over_them" {
        let path = format!("/v1/admin/users/{root}/suspend");
        return api.send(Method::POST, &path, &headers, Body::empty()).await;
    }
    let key = json!({"name": "ci", "scopes": ["tasks.read"]});
    for _ in 0..KEYS_MAX {
        let made = api.post_with("/v1/keys", &key, &headers).await?;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    api.post_with("/v1/keys", &key, &headers).await
}

/// The problems of mail.
async fn provoke_by_mail(api: &Api, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    match code {
        "signature_invalid" => {
            api.post_with("/v1/webhooks/sendgrid", &json!([]), &[id])
                .await
        }
        "link_invalid" => api.get_with("/v1/unsubscribe?token=nonsense", &[id]).await,
        _ => {
            let body =
                json!({"template": "welcome", "variables": {"name": "Ada"}, "to": "a@b.example"});
            api.post_with("/v1/emails", &body, &[id]).await
        }
    }
}

/// The problems of those who watch on a WebSocket.
async fn provoke_by_socket(api: &Api, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    let mut app = api.app.clone();
    if code == "too_many_sockets" {
        app.sockets = Seats::new(0, 1);
    }
    let api = Api::with(app, Route::new());
    api.get_with("/v1/ws", &[id]).await
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
        "queue_draining" => {
            let mut app = api.app.clone();
            app.operators = Operators::Everybody;
            let operated = Api::with(app, Route::new());
            operated.drain("default", true).await?;
            let refused = api.post_with("/v1/tasks", &noop(1), &[id]).await;
            operated.drain("default", false).await?;
            refused
        }
        "database_unavailable" => away(id).await,
        _ => provoke_by_version(api, code, id).await,
    }
}

/// The problems of edits, and of too much of one thing.
async fn provoke_by_version(api: &Api, code: &str, id: (&str, &str)) -> TestResult<Answer> {
    let brief = json!({"topic": "Tide pools"});
    match code {
        "precondition_required" => {
            let schedule = json!({"name": "Nightly", "cron": "@daily",
                "kind": "noop", "payload": {"n": 1}});
            let body = Body::from_string(schedule.to_string());
            let path = "/v1/schedules/01990000-0000-7000-8000-000000000000";
            api.send(Method::PUT, path, &[JSON, id], body).await
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
        "too_many_schedules" => {
            let schedule = json!({
                "name": "Daily", "cron": "@daily", "kind": "noop", "payload": {"n": 1}});
            for _ in 0..SCHEDULES_MAX {
                let made = api.post("/v1/schedules", &schedule).await?;
                assert_eq!(made.status, 201, "{}", made.text);
            }
            api.post_with("/v1/schedules", &schedule, &[id]).await
        }
        _ => provoke_by_files(api, code, id).await,
    }
}

/// A database of its own that is gone: the others need theirs.
async fn away(id: (&str, &str)) -> TestResult<Answer> {
    let away = TestDb::sqlite().await?;
    away.db.close().await;
    api(&away).get_with(NOBODY, &[id]).await
}
