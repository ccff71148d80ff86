//! Mail at the door: what is taken, what is refused, and how it looks.

use models::{
    Db, EmailId, on_both, sql,
    sql::One,
    testing::{TestDb, TestResult},
};
use serde_json::{Value, json};

use crate::harness::{Answer, Api};

fn letter() -> Value {
    json!({"template": "welcome", "variables": {"name": "Ada"}, "to": "ada@example.com"})
}

/// Posts with a key of its own.
async fn post(api: &Api, body: &Value) -> TestResult<Answer> {
    let key = EmailId::new().to_string();
    api.post_with("/v1/emails", body, &[("idempotency-key", &key)])
        .await
}

on_both! {
    async fn a_letter_becomes_a_task_and_a_mail(db: &Db) -> TestResult {
        let api = Api::new(db);

        let answer = post(&api, &letter()).await?;

        assert_eq!((answer.status.as_u16(), answer.word("/kind").as_str()), (202, "email.send"));
        let mail = api.get(&answer.word("/links/subject")).await?;
        assert_eq!((mail.word("/status"), mail.word("/to")), ("queued".to_owned(), "ada@example.com".to_owned()));
        assert_eq!(mail.word("/links/task"), answer.word("/links/self"));
        let list = api.get("/v1/emails").await?;
        assert_eq!(list.at("/items/0"), mail.json());
        assert!(!answer.text.contains("ada@"), "a task does not say who gets the mail");
        Ok(())
    }

    async fn the_same_request_sends_one_mail(db: &Db) -> TestResult {
        let api = Api::new(db);
        let key = [("idempotency-key", "once")];

        let first = api.post_with("/v1/emails", &letter(), &key).await?;
        let second = api.post_with("/v1/emails", &letter(), &key).await?;
        let mut other = letter();
        other["to"] = "bob@example.com".into();
        let third = api.post_with("/v1/emails", &other, &key).await?;

        assert_eq!(first.word("/id"), second.word("/id"));
        assert_eq!(second.header("idempotent-replayed"), "true");
        assert_eq!(third.problem(), (422, "idempotency_mismatch".to_owned()));
        let (mails,) = sql!(db.conn().await?, fetch_one One<i64>, "select count(*) from emails")?;
        assert_eq!(mails, 1);
        Ok(())
    }
}

/// Letters that break one rule each, and the field that is to blame.
fn wrong_letters() -> Vec<(Value, &'static str)> {
    let with = |pointer: &str, value: Value| {
        let mut body = letter();
        match pointer.rsplit_once('/') {
            Some(("", name)) => body[name] = value,
            Some((parent, name)) => body[parent.trim_start_matches('/')][name] = value,
            None => {}
        }
        body
    };
    let no_name = with("/variables", json!({}));
    let ready = json!({"name": "Ada", "title": "T", "lessons": "six", "path": "/courses/7"});
    let mut wrong_type = with("/variables", ready);
    wrong_type["template"] = "course_ready".into();

    vec![
        (no_name, "/variables/name"),
        (wrong_type, "/variables/lessons"),
        (with("/variables/name", json!(7)), "/variables/name"),
        (
            with("/variables/name", json!("a\r\nBcc: b@example.com")),
            "/variables/name",
        ),
        (with("/variables/nmae", json!("Ada")), "/variables/nmae"),
        (with("/template", json!("nothing")), "/template"),
        (
            with("/to", json!("ada@example.com\r\nBcc: b@example.com")),
            "/to",
        ),
        (with("/to", json!("a@аррӏе.com")), "/to"),
        (
            with("/to", json!(format!("{}@example.com", "a".repeat(65)))),
            "/to",
        ),
        (with("/name", json!("Ada\nBcc: b@example.com")), "/name"),
        (with("/language", json!("e\nn")), "/language"),
        (with("/subject", json!("mine")), "/subject"),
        (
            with(
                "/attachments",
                json!([{"name": "../a", "media_type": "text/plain", "base64": ""}]),
            ),
            "/attachments/0/name",
        ),
        (
            with(
                "/attachments",
                json!([{"name": "a.exe", "media_type": "application/x-msdownload", "base64": ""}]),
            ),
            "/attachments/0/media_type",
        ),
    ]
}

#[tokio::test]
async fn what_is_wrong_is_a_422_at_the_door_and_not_a_failed_task() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = Api::new(&test.db);

    for (body, pointer) in wrong_letters() {
        let answer = post(&api, &body).await?;
        assert_eq!(
            answer.problem(),
            (422, "validation_failed".to_owned()),
            "{body}"
        );
        assert_eq!(answer.word("/errors/0/pointer"), pointer, "{}", answer.text);
    }

    let (tasks,) = sql!(test.db.conn().await?, fetch_one One<i64>, "select count(*) from tasks")?;
    assert_eq!(tasks, 0);
    test.close().await
}

#[tokio::test]
async fn every_letter_can_be_looked_at() -> TestResult {
    let test = TestDb::sqlite().await?;
    let api = Api::new(&test.db);

    let all = api.get("/v1/email-templates").await?;
    let items = all.at("/items").as_array().cloned().unwrap_or_default();

    assert_eq!(items.len(), 7);
    for item in items {
        let preview = item["preview"].as_str().unwrap_or_default().to_owned();
        let page = api
            .get_with(
                &format!("{preview}?language=de"),
                &[("accept", "text/html")],
            )
            .await?;
        let text = api.get(&format!("{preview}?format=text")).await?;
        assert!(
            page.header("content-type").starts_with("text/html"),
            "{preview}"
        );
        assert!(page.text.contains("lang=\"de\""), "{preview}");
        assert!(
            text.header("content-type").starts_with("text/plain"),
            "{preview}"
        );
    }
    assert_eq!(
        api.get("/v1/email-templates/nothing/preview")
            .await?
            .problem()
            .0,
        404
    );
    test.close().await
}
