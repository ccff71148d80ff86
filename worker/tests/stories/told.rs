//! What mail is asked for by itself, and what a provider tells of it later.

use std::{fs, sync::Arc, time::Duration};

use jobs::{Queue, State};
use models::{
    Address, Db, EmailId, Limit, OwnerId, contacts,
    email_events::{self, Event, Told},
    emails::{self, Email, Status},
    on_both, preferences,
    templates::{Category, Template},
    testing::{TestDb, TestResult},
};
use tempfile::TempDir;
use worker::mailer::{Doubt, MailConfig, Mailer};

use crate::{
    email::{by_sendgrid, digest, mail_worker, submit_mail},
    scripted::{Reply, Scripted},
    sendgrid::{Does, SendGrid},
    support::{Worker, brief, ended, make_due, submit, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_process_hands_over_sixteen_mails_at_the_same_time_at_most() -> TestResult {
    let test = TestDb::sqlite().await?;
    let fake = SendGrid::start(|_, _| Does::TakeSlowly(Duration::from_millis(20))).await?;
    let mut tasks = Vec::new();
    for _ in 0..40 {
        tasks.push(submit_mail(&test.db, digest("ada@example.com")?).await?.1);
    }
    let worker = mail_worker(&test, Mailer::new(by_sendgrid(&fake, Doubt::Hold)?)?)?;
    for task in &tasks {
        ended(&test.db, task.id).await?;
    }
    worker.drain().await?;

    assert_eq!(fake.calls(), tasks.len());
    assert!((1..=16).contains(&fake.peak()), "{}", fake.peak());
    test.close().await
}

fn told(id: EmailId, event: Event, now: chrono::DateTime<chrono::Utc>) -> Told {
    Told {
        provider: "sendgrid",
        event_id: format!("{id}-{event}"),
        email_id: id,
        provider_id: Some("m".to_owned()),
        event,
        detail: None,
        occurred_at: now,
    }
}

async fn tell(db: &Db, id: EmailId, event: Event) -> TestResult {
    let mut tx = db.begin().await?;
    email_events::record(&mut tx, &told(id, event, db.now()), db.now()).await?;
    Ok(tx.commit().await?)
}

async fn mails(db: &Db) -> TestResult<Vec<Email>> {
    let (mut conn, limit) = (db.conn().await?, Limit::default());
    Ok(emails::list(&mut conn, OwnerId::LOCAL, None, limit)
        .await?
        .items)
}

on_both! {
    async fn a_doubt_ends_when_the_provider_tells(test: &TestDb) -> TestResult {
        let fake = SendGrid::start(|_, _| Does::TakeAndDrop).await?;
        let config = MailConfig { doubt_wait: Duration::from_mins(10), ..by_sendgrid(&fake, Doubt::Resend)? };
        let worker = mail_worker(test, Mailer::new(config)?)?;
        let (id, submitted) = submit_mail(&test.db, digest("ada@example.com")?).await?;
        until(&test.db, submitted.id, |task| task.state == State::Queued && task.attempt == 1).await?;
        make_due(&test.db).await?;
        until(&test.db, submitted.id, |task| task.state == State::Queued && task.attempt == 2).await?;
        assert_eq!(emails::get_any(&mut test.db.conn().await?, id).await?.status(), Status::Sending);

        tell(&test.db, id, Event::Processed).await?;
        make_due(&test.db).await?;
        let task = ended(&test.db, submitted.id).await?;
        worker.drain().await?;

        assert_eq!((task.state, task.attempts_used()), (State::Succeeded, 1));
        let email = emails::get_any(&mut test.db.conn().await?, id).await?;
        assert_eq!((email.status(), email.provider_id.as_deref()), (Status::Sent, Some("m")));
        assert_eq!(fake.times(&id.to_string()), 1);
        Ok(())
    }

    async fn what_was_given_up_is_known_after_all(test: &TestDb) -> TestResult {
        let fake = SendGrid::start(|_, _| Does::TakeAndDrop).await?;
        let config = MailConfig { doubt_wait: Duration::ZERO, ..by_sendgrid(&fake, Doubt::Hold)? };
        let worker = mail_worker(test, Mailer::new(config)?)?;
        let (id, submitted) = submit_mail(&test.db, digest("ada@example.com")?).await?;
        ended(&test.db, submitted.id).await?;
        worker.drain().await?;
        assert_eq!(emails::get_any(&mut test.db.conn().await?, id).await?.status(), Status::Unknown);

        tell(&test.db, id, Event::Delivered).await?;

        assert_eq!(emails::get_any(&mut test.db.conn().await?, id).await?.status(), Status::Delivered);
        Ok(())
    }

    async fn an_author_gets_one_mail_when_the_course_is_ready(test: &TestDb) -> TestResult {
        let home = TempDir::new()?;
        let (db, now, folder) = (&test.db, test.db.now(), home.path().join("mail"));
        let ada = Address::parse("ada@example.com")?;
        let mut tx = db.begin().await?;
        contacts::put(&mut tx, OwnerId::LOCAL, &ada, Some("Ada"), "de-AT", now).await?;
        tx.commit().await?;
        let model = Arc::new(Scripted::new(|_| Reply::Good));
        let queues = vec![Queue::Generation, Queue::Email];
        let worker = Worker::launch(test, &model, 2, queues, Mailer::folder(&folder))?;

        let (course, task) = submit(db, &brief(2)).await?;
        ended(db, task).await?;
        let first = mails(db).await?;
        let mail = first.first().ok_or("no mail")?;
        ended(db, mail.task_id.ok_or("no task")?).await?;

        assert_eq!((first.len(), mail.template, mail.recipient.as_str()), (1, Template::CourseReady, "ada@example.com"));
        let link = mail.variables.get("path").and_then(|path| path.as_str());
        assert_eq!(link, Some(format!("/v1/courses/{course}").as_str()));
        let file = fs::read_to_string(folder.join(format!("{}.eml", mail.id)))?;
        assert!(file.contains("Subject: Ihr Kurs ist fertig"), "{file}");

        // Whoever does not want to know is not told.
        let mut tx = db.begin().await?;
        preferences::put(&mut tx, &ada, Category::Courses, false, now).await?;
        tx.commit().await?;
        let (_, task) = submit(db, &brief(1)).await?;
        ended(db, task).await?;
        worker.drain().await?;
        assert_eq!(mails(db).await?.len(), 1);
        Ok(())
    }
}
