//! Mail: sent once, withheld, refused, or visibly unknown.

use std::{fs, path::Path, sync::Arc, time::Duration};

use jobs::{
    Queue, State, Task,
    kinds::SendEmail,
    store::{self, Options},
};
use models::{
    Address, Db, EmailId, OwnerId,
    emails::{self, Attachment, Email, Letter, MediaType, Status},
    on_both, preferences, sql,
    suppressions::{self, Reason},
    templates::{Category, Template},
    testing::{TestDb, TestResult},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use worker::mailer::{Carriers, Doubt, MailConfig, Mailer, SendGridConfig};

use crate::{
    scripted::{Reply, Scripted},
    sendgrid::{Does, KEY, SendGrid},
    support::{Worker, ended, expire_leases, make_due, task, until},
};

/// A letter that can be refused, to this address.
pub(crate) fn digest(to: &str) -> TestResult<Letter> {
    let variables =
        json!({"name": "Ada", "period": "May", "items": ["A", "B"], "path": "/courses"});
    Ok(Letter {
        template: Template::Digest,
        variables: variables.as_object().cloned().ok_or("an object")?,
        to: Address::parse(to)?,
        name: Some("Ada".to_owned()),
        language: "en".to_owned(),
        attachments: vec![Attachment {
            name: "notes.md".to_owned(),
            media_type: MediaType::Markdown,
            base64: "IyBOb3Rlcwo=".to_owned(),
        }],
    })
}

pub(crate) async fn submit_mail(db: &Db, letter: Letter) -> TestResult<(EmailId, Task)> {
    let mut tx = db.begin().await?;
    let task = SendEmail::submit(&mut tx, letter, Options::by(OwnerId::LOCAL), db.now()).await?;
    tx.commit().await?;
    let id: EmailId = serde_json::from_value(task.payload["email_id"].clone())?;
    Ok((id, task))
}

async fn email(db: &Db, id: EmailId) -> TestResult<Email> {
    Ok(emails::get_any(&mut db.conn().await?, id).await?)
}

pub(crate) fn mail_worker(test: &TestDb, mailer: Mailer) -> TestResult<Worker> {
    let model = Arc::new(Scripted::new(|_| Reply::Good));
    Worker::launch(test, &model, 4, vec![Queue::Email], mailer)
}

pub(crate) fn by_sendgrid(fake: &SendGrid, doubt: Doubt) -> TestResult<MailConfig> {
    Ok(MailConfig {
        carrier: Carriers::SendGrid(SendGridConfig {
            key: KEY.parse()?,
            endpoint: fake.endpoint.clone(),
            timeout: Duration::from_secs(1),
        }),
        from: "Lyo <no-reply@lyo.example>".parse()?,
        doubt,
        doubt_wait: Duration::from_secs(1),
        per_second: 1_000,
        ..MailConfig::folder("unused".into())
    })
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

on_both! {
    async fn a_mail_becomes_a_file(test: &TestDb) -> TestResult {
        let home = TempDir::new()?;
        let worker = mail_worker(test, Mailer::folder(&home.path().join("mail")))?;
        let (id, task) = submit_mail(&test.db, digest("ada+tides@example.com")?).await?;

        let task = ended(&test.db, task.id).await?;
        worker.drain().await?;

        assert_eq!((task.state, task.result), (State::Succeeded, Some(json!({"status": "sent"}))));
        assert_eq!(email(&test.db, id).await?.status(), Status::Sent);
        let file = fs::read_to_string(home.path().join(format!("mail/{id}.eml")))?;
        assert!(file.contains("To: Ada <ada+tides@example.com>"), "{file}");
        assert!(file.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{file}");
        Ok(())
    }

    async fn a_mail_that_was_sent_is_not_sent_by_a_second_run(test: &TestDb) -> TestResult {
        let fake = SendGrid::start(|_, _| Does::Take).await?;
        let worker = mail_worker(test, Mailer::new(by_sendgrid(&fake, Doubt::Resend)?)?)?;
        let (id, first) = submit_mail(&test.db, digest("ada@example.com")?).await?;
        ended(&test.db, first.id).await?;
        // As if the worker had died between the answer of the provider and the end of the task.
        let mut tx = test.db.begin().await?;
        sql!(
            tx, execute,
            "update tasks set state = 'queued', finished_at = null, result = null where id = $1",
            first.id,
        )?;
        tx.commit().await?;

        let again = ended(&test.db, first.id).await?;
        worker.drain().await?;

        assert_eq!((again.state, again.attempt), (State::Succeeded, 2));
        assert_eq!(fake.times(&id.to_string()), 1);
        Ok(())
    }

    async fn a_suppressed_or_unwanted_mail_is_withheld(test: &TestDb) -> TestResult {
        let home = TempDir::new()?;
        let (db, now) = (&test.db, test.db.now());
        let mut tx = db.begin().await?;
        let (bounced, refused) = (Address::parse("a@example.com")?, Address::parse("b@example.com")?);
        suppressions::create(&mut tx, &bounced, Reason::Bounce, now).await?;
        preferences::put(&mut tx, &refused, Category::Digest, false, now).await?;
        tx.commit().await?;
        let worker = mail_worker(test, Mailer::folder(&home.path().join("mail")))?;

        for (to, why) in [("a@example.com", "suppressed: bounce"), ("b@example.com", "not wanted: digest")] {
            let (id, task) = submit_mail(db, digest(to)?).await?;
            let task = ended(db, task.id).await?;
            let email = email(db, id).await?;
            assert_eq!(task.result, Some(json!({"status": "withheld"})));
            assert_eq!((email.status(), email.detail.as_deref()), (Status::Withheld, Some(why)));
        }

        worker.drain().await?;
        assert_eq!(files(&home.path().join("mail")), 0);
        Ok(())
    }
}

/// Sends one mail to a provider that does as it is told; its task is hurried along, ends, and is
/// answered with the mail.
async fn send(
    doubt: Doubt,
    does: impl Fn(usize) -> Does + Send + Sync + 'static,
) -> TestResult<Story> {
    let test = TestDb::sqlite().await?;
    let fake = SendGrid::start(move |_, call| does(call)).await?;
    let worker = mail_worker(&test, Mailer::new(by_sendgrid(&fake, doubt)?)?)?;
    let (id, submitted) = submit_mail(&test.db, digest("ada@example.com")?).await?;
    let hurry = async {
        loop {
            make_due(&test.db).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let task = tokio::select! {
        task = ended(&test.db, submitted.id) => task?,
        never = hurry => return never,
    };
    worker.drain().await?;
    let email = email(&test.db, id).await?;
    test.close().await?;
    let times = fake.times(&id.to_string());
    Ok(Story {
        task,
        email,
        times,
        calls: fake.calls(),
        mail: fake.mail(&id.to_string()),
    })
}

struct Story {
    task: Task,
    email: Email,
    times: usize,
    calls: usize,
    mail: Value,
}

impl Story {
    fn code(&self) -> Option<&str> {
        self.task.error.as_ref().map(|error| error.code.as_str())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sendgrid_gets_everything_that_the_mail_has() -> TestResult {
    let story = send(Doubt::Hold, |_| Does::Take).await?;

    let id = story.email.id.to_string();
    let at = |pointer: &str| story.mail.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(story.email.status(), Status::Sent);
    assert_eq!(story.email.provider_id, Some(format!("m-{id}")));
    assert_eq!(
        at("/personalizations/0/to/0"),
        json!({"email": "ada@example.com", "name": "Ada"})
    );
    assert_eq!(
        at("/personalizations/0/custom_args"),
        json!({"email_id": id})
    );
    assert_eq!(at("/categories"), json!(["digest"]));
    assert_eq!(at("/subject"), json!("What is new: May"));
    assert_eq!(at("/tracking_settings/click_tracking/enable"), json!(false));
    let unsubscribe = at("/personalizations/0/headers/List-Unsubscribe");
    let unsubscribe = unsubscribe.as_str().unwrap_or_default();
    assert!(
        unsubscribe.starts_with("<http://127.0.0.1:8080/v1/unsubscribe?token="),
        "{unsubscribe}"
    );
    assert_eq!(at("/attachments/0/filename"), json!("notes.md"));
    assert_eq!(at("/attachments/0/content"), json!("IyBOb3Rlcwo="));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_help_is_not_tried_again() -> TestResult {
    for status in [400, 401, 403, 413] {
        let story = send(Doubt::Resend, move |_| Does::Refuse(status)).await?;

        assert_eq!(
            (story.task.state, story.calls, story.times),
            (State::Failed, 1, 0),
            "{status}"
        );
        assert_eq!(
            (story.code(), story.email.status()),
            (Some("email_refused"), Status::Failed)
        );
        let detail = story
            .task
            .error
            .map(|error| error.detail)
            .unwrap_or_default();
        assert!(
            detail.contains("(address)") && !detail.contains('@'),
            "{detail}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_provider_is_asked_again_after_the_time_it_names() -> TestResult {
    for status in [429, 503] {
        let does = move |call| {
            if call == 0 {
                Does::Busy(status, 2)
            } else {
                Does::Take
            }
        };
        let story = send(Doubt::Hold, does).await?;

        assert_eq!(
            (story.task.state, story.times),
            (State::Succeeded, 1),
            "{status}"
        );
        assert_eq!(
            story.calls, 2,
            "the gate was closed meanwhile, although the task was due"
        );
        assert_eq!(story.task.attempts_used(), 1, "waiting costs no attempt");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_listen_is_tried_again() -> TestResult {
    let story = send(Doubt::Hold, |call| {
        if call < 2 {
            Does::Refuse(503)
        } else {
            Does::Take
        }
    })
    .await?;

    assert_eq!(
        (story.task.state, story.times, story.calls),
        (State::Succeeded, 1, 3)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_is_held_or_the_mail_is_sent_once_more_as_the_operator_chose() -> TestResult {
    let slowly = Does::TakeSlowly(Duration::from_secs(3));
    for does in [
        Does::TakeAndDrop,
        slowly,
        Does::Refuse(500),
        Does::Refuse(502),
    ] {
        let held = send(Doubt::Hold, move |_| does).await?;
        assert_eq!(
            (held.task.state, held.code()),
            (State::Failed, Some("email_unknown")),
            "{does:?}"
        );
        assert_eq!(
            (held.email.status(), held.calls),
            (Status::Unknown, 1),
            "{does:?}"
        );

        let resent = send(
            Doubt::Resend,
            move |call| if call == 0 { does } else { Does::Take },
        )
        .await?;
        assert_eq!(
            (resent.task.state, resent.calls),
            (State::Succeeded, 2),
            "{does:?}"
        );
        assert_eq!(resent.email.status(), Status::Sent);
        assert_eq!(resent.task.warnings.len(), 1, "it says so");
        let twice = send(Doubt::Resend, move |_| does).await?;
        assert_eq!(
            (twice.email.status(), twice.calls),
            (Status::Unknown, 2),
            "once more, not for ever"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_whose_worker_died_during_the_call_is_not_sent_again() -> TestResult {
    let test = TestDb::sqlite().await?;
    let fake = SendGrid::start(|_, _| Does::TakeSlowly(Duration::from_millis(700))).await?;
    let first = mail_worker(&test, Mailer::new(by_sendgrid(&fake, Doubt::Hold)?)?)?;
    let (id, submitted) = submit_mail(&test.db, digest("ada@example.com")?).await?;
    until(&test.db, submitted.id, |_| fake.times(&id.to_string()) == 1).await?;
    first.kill();
    assert_eq!(email(&test.db, id).await?.status(), Status::Sending);

    expire_leases(&test.db).await?;
    let second = mail_worker(&test, Mailer::new(by_sendgrid(&fake, Doubt::Hold)?)?)?;
    let task = ended(&test.db, submitted.id).await?;
    assert_eq!((task.state, task.attempt >= 2), (State::Failed, true));
    assert_eq!(email(&test.db, id).await?.status(), Status::Unknown);

    // Asking for the task again does not send the mail again.
    let mut tx = test.db.begin().await?;
    let again = store::again(&mut tx, OwnerId::LOCAL, submitted.id, false, test.db.now()).await?;
    tx.commit().await?;
    assert_eq!(again.task.state, State::Queued);
    let task = ended(&test.db, submitted.id).await?;
    second.drain().await?;
    assert_eq!(
        task.error.map(|error| error.code).as_deref(),
        Some("email_unknown")
    );
    assert_eq!(fake.times(&id.to_string()), 1);
    test.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_leaves_no_doubt_behind() -> TestResult {
    let test = TestDb::sqlite().await?;
    let fake = SendGrid::start(|_, _| Does::TakeSlowly(Duration::from_millis(900))).await?;
    let worker = mail_worker(&test, Mailer::new(by_sendgrid(&fake, Doubt::Hold)?)?)?;
    let (id, submitted) = submit_mail(&test.db, digest("ada@example.com")?).await?;
    until(&test.db, submitted.id, |_| fake.times(&id.to_string()) == 1).await?;

    let mut tx = test.db.begin().await?;
    store::cancel(&mut tx, OwnerId::LOCAL, submitted.id, test.db.now()).await?;
    tx.commit().await?;
    ended(&test.db, submitted.id).await?;
    // The call goes on, and what the provider answered is written down.
    for _ in 0..1_000 {
        if email(&test.db, id).await?.status() == Status::Sent {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.drain().await?;

    assert_eq!(email(&test.db, id).await?.status(), Status::Sent);
    assert!(task(&test.db, submitted.id).await?.state.is_done());
    test.close().await
}
