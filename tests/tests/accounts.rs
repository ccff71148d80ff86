//! From nothing to a course and out again, as somebody who has just heard of the platform; and
//! nothing that is nobody's business stands in a log.

use std::time::Instant;

use api::SigningKeys;
use chrono::{DateTime, Utc};
use e2e::{
    app::{Answer, Http, PATIENCE, send},
    fleet::Fleet,
    smtp::{Sink, token},
};
use models::{
    testing::{TestDb, TestResult},
    totp::Secret,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

const ADDRESS: &str = "canary.reader@mailbox.example";
const PASSWORD: &str = "canary wedding copper 47 plankton";

/// A client that signs in.
struct Reader {
    http: Http,
    access: String,
    refresh: String,
}

impl Reader {
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method, path).bearer_auth(&self.access);
        if let Some(body) = body {
            request = request.json(body);
        }
        send(request).await
    }

    async fn take(&mut self, path: &str, body: &Value) -> TestResult {
        let answer = self.http.post(path, body).await?;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{path}: {}",
            answer.body["code"]
        );
        self.access = answer.text("access_token")?;
        self.refresh = answer.text("refresh_token")?;
        Ok(())
    }

    /// Long-polls a task until it has ended.
    async fn ended(&self, task: &str) -> TestResult<Value> {
        let began = Instant::now();
        loop {
            let path = format!("/v1/tasks/{task}");
            let request = self
                .http
                .request(Method::GET, &path)
                .header("Prefer", "wait=2");
            let answer = send(request.bearer_auth(&self.access)).await?;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            if answer.body["done"] == true {
                return Ok(answer.body);
            }
            assert!(began.elapsed() < PATIENCE, "{}", answer.body);
        }
    }

    /// Waits until this path refuses the token, at every API.
    async fn is_refused(&self) -> TestResult {
        let (began, mut refusals) = (Instant::now(), 0);
        while refusals < 4 {
            let answer = self.ask(Method::GET, "/v1/users/me", None).await?;
            refusals = if answer.status == StatusCode::UNAUTHORIZED {
                refusals + 1
            } else {
                0
            };
            assert!(began.elapsed() < PATIENCE, "the token still works");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_registers_writes_a_course_and_leaves_no_trace_in_the_logs() -> TestResult {
    let (database, data, sink) = (
        TestDb::postgres().await?,
        TempDir::new()?,
        Sink::start().await?,
    );
    let settings = [
        ("LYO_SIGNING_KEYS", SigningKeys::draw()),
        ("LYO_EMAIL", sink.url()),
        ("LYO_EMAIL_FROM", "Lyo <lyo@lyo.example>".to_owned()),
    ];
    let fleet = Fleet::start_with(&database.url, data.path(), &settings).await?;
    let http = Http::new(&fleet.bases())?;
    let mut reader = Reader {
        http,
        access: String::new(),
        refresh: String::new(),
    };

    registers(&mut reader, &sink).await?;
    uses_a_key(&reader).await?;
    signs_in_with_a_code(&mut reader, database.db.now()).await?;
    writes_a_course(&reader).await?;

    let refresh = json!({"refresh_token": reader.refresh});
    reader.take("/v1/refresh", &refresh).await?;
    let out = reader.ask(Method::POST, "/v1/logout", None).await?;
    assert_eq!(out.status, StatusCode::NO_CONTENT, "{out:?}");
    reader.is_refused().await?;
    let after = json!({"refresh_token": reader.refresh});
    let refused = reader.http.post("/v1/refresh", &after).await?;
    assert_eq!(refused.body["code"], "refresh_token_invalid");

    let lines = fleet.stop().await?;
    println!("log lines without a secret: {lines}");
    assert!(lines > 100, "the processes have logged");
    database.close().await
}

/// Registers, follows the link of the mail and signs in.
async fn registers(reader: &mut Reader, sink: &Sink) -> TestResult {
    let account = json!({"address": ADDRESS, "name": "Canary", "password": PASSWORD});
    let asked = reader.http.post("/v1/register", &account).await?;
    assert_eq!(asked.status, StatusCode::ACCEPTED, "{asked:?}");
    let mail = sink.mail(&[ADDRESS, "/verify-email?token="]).await?;
    let link = token(&mail, "/verify-email?token=")?;
    let verified = reader
        .http
        .post("/v1/verify", &json!({"token": link}))
        .await?;
    assert_eq!(verified.body["outcome"], "registered", "{}", verified.body);
    let login = json!({"address": ADDRESS, "password": PASSWORD});
    reader.take("/v1/login", &login).await
}

/// Makes a key for a machine, which then asks in its place.
async fn uses_a_key(reader: &Reader) -> TestResult {
    let wanted = json!({"name": "canary", "scopes": ["profile.read"]});
    let made = reader.ask(Method::POST, "/v1/keys", Some(&wanted)).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let request = reader.http.request(Method::GET, "/v1/users/me");
    let me = send(request.bearer_auth(made.text("key")?)).await?;
    assert_eq!(me.text("address")?, ADDRESS);
    Ok(())
}

/// Turns a second factor on, and signs in with a recovery code.
async fn signs_in_with_a_code(reader: &mut Reader, now: DateTime<Utc>) -> TestResult {
    let path = "/v1/users/me/second-factor";
    let proof = json!({"password": PASSWORD});
    let begun = reader.ask(Method::POST, path, Some(&proof)).await?;
    assert_eq!(begun.status, StatusCode::CREATED, "{begun:?}");
    let secret = Secret::decode(&begun.text("secret")?)?;
    let code = json!({"code": secret.code(now)});
    let path = format!("{path}/confirm");
    let drawn = reader.ask(Method::POST, &path, Some(&code)).await?;
    let login = json!({"address": ADDRESS, "password": PASSWORD});
    let refused = reader.http.post("/v1/login", &login).await?;
    assert_eq!(refused.body["code"], "second_factor_required", "{drawn:?}");
    let code = &drawn.body["recovery_codes"][0];
    let login = json!({"address": ADDRESS, "password": PASSWORD, "code": code});
    reader.take("/v1/login", &login).await
}

/// Asks for a course, watches it end, and reads it; nobody else can.
async fn writes_a_course(reader: &Reader) -> TestResult {
    let brief = json!({"topic": "Tide pools", "lessons": 1, "seed": 7});
    let accepted = reader
        .ask(Method::POST, "/v1/courses", Some(&brief))
        .await?;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    let task = reader.ended(&accepted.text("id")?).await?;
    assert_eq!(task["state"], "succeeded", "{task}");
    let course = accepted.body["links"]["subject"]
        .as_str()
        .ok_or("no subject")?;
    assert_eq!(
        reader.http.get(course).await?.status,
        StatusCode::UNAUTHORIZED
    );
    let course = reader.ask(Method::GET, course, None).await?;
    assert_eq!(course.body["status"], "draft", "{}", course.body);
    Ok(())
}
