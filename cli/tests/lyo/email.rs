//! Many mails, a provider that takes some and hangs up, and systems that are killed all the time: no
//! mail is sent twice, and what became of each is known, or known to be unknown.
//!
//! `LYO_TEST_MAILS=5000` makes it a long story, `--no-capture` shows the table.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, ensure};
use chrono::{DateTime, Utc};
use jobs::{kinds::SendEmail, store::Options};
use models::{
    Address, Db, EmailId, OwnerId,
    emails::{self, Email, Letter, Status},
    sql,
    sql::One,
    templates::Template,
    testing::TestDb,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{process::Command, time::sleep};

use crate::{
    process::{Dev, PATIENCE, lyo},
    sendgrid::{Does, KEY, SendGrid},
    signer::Signer,
};

/// Systems that run at the same time.
const SYSTEMS: usize = 3;
/// One of them is killed each time that this has passed, and another one started.
const KILL_PERIOD: Duration = Duration::from_secs(2);
/// For each kill there are so many mails at least: the story gets longer with them, and ends.
const MAILS_A_KILL: usize = 50;
/// Events that the provider delivers at once.
const DELIVERY_EVENTS_MAX: usize = 100;

/// How many mails the story is about.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no command line to configure them"
)]
fn mails(usual: usize) -> usize {
    let wanted = std::env::var("LYO_TEST_MAILS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A number from 0 to 255 that is the same for a mail whoever asks.
fn chance(id: &str) -> u8 {
    let last = id.get(id.len().saturating_sub(2)..).unwrap_or_default();
    u8::from_str_radix(last, 16).unwrap_or_default()
}

/// Of 256 mails, the provider takes 51 and hangs up, is slow with 5, and at first too busy or away for
/// 5 each.
fn moods(mail: &Value, call: usize) -> Does {
    let id = mail.pointer("/personalizations/0/custom_args/email_id");
    match chance(id.and_then(Value::as_str).unwrap_or_default()) {
        0..51 => Does::TakeAndDrop,
        51..56 => Does::TakeSlowly(Duration::from_millis(1_500)),
        56..61 if call.is_multiple_of(4) => Does::Busy(429, 1),
        61..66 if call.is_multiple_of(4) => Does::Refuse(503),
        _ => Does::Take,
    }
}

/// Whether the provider tells of this mail, should it have taken it: of three in four.
fn is_told(id: EmailId) -> bool {
    !chance(&id.to_string()).is_multiple_of(4)
}

/// A system on this database that sends by the fake.
fn system(data: &TempDir, test: &TestDb, fake: &SendGrid, key: &str, per_second: u32) -> Command {
    let mut command = lyo(data.path());
    command
        .env("DATABASE_URL", &test.url)
        .env("LYO_EMAIL", "sendgrid")
        .env("LYO_EMAIL_FROM", "Lyo <no-reply@lyo.example>")
        .env("LYO_EMAIL_RATE", per_second.to_string())
        .env("LYO_EMAIL_DOUBT_WAIT", "5")
        .env("SENDGRID_API_KEY", KEY)
        .env("SENDGRID_ENDPOINT", &fake.endpoint)
        .env("SENDGRID_WEBHOOK_KEY", key);
    command
}

async fn submit(db: &Db, count: usize) -> anyhow::Result<Vec<EmailId>> {
    let variables = json!({"name": "Ada", "period": "May", "items": ["A"], "path": "/courses"});
    let mut ids = Vec::with_capacity(count);
    let (mut tx, now) = (db.begin().await?, db.now());
    for n in 0..count {
        let letter = Letter {
            template: Template::Digest,
            variables: variables.as_object().cloned().context("an object")?,
            to: Address::parse(&format!("reader-{n}@example.com"))?,
            name: None,
            language: "en".to_owned(),
            attachments: Vec::new(),
        };
        let task = SendEmail::submit(&mut tx, letter, Options::by(OwnerId::LOCAL), now).await?;
        ids.push(serde_json::from_value(task.payload["email_id"].clone())?);
    }
    tx.commit().await?;
    Ok(ids)
}

/// Mails whose task has not ended.
async fn unfinished(db: &Db) -> anyhow::Result<i64> {
    let (count,) = sql!(
        db.conn().await?, fetch_one One<i64>,
        "select count(*) from tasks where finished_at is null"
    )?;
    Ok(count)
}

/// The provider's side of the story: what it has told of, and what it has not yet.
struct Teller<'t> {
    fake: &'t SendGrid,
    signer: &'t Signer,
    untold: Vec<EmailId>,
    http: reqwest::Client,
}

impl Teller<'_> {
    /// Tells of mails that were taken, everything twice, to a system that may be dead: what it does
    /// not confirm is told again later.
    async fn tell(&mut self, base: &str, now: DateTime<Utc>) -> anyhow::Result<()> {
        let taken = |id: &&EmailId| self.fake.times(&id.to_string()) > 0;
        let some: Vec<EmailId> = self
            .untold
            .iter()
            .filter(taken)
            .take(DELIVERY_EVENTS_MAX)
            .copied()
            .collect();
        if some.is_empty() {
            return Ok(());
        }
        let event = |id: &EmailId| {
            json!({
                "event": "processed", "sg_event_id": format!("p-{id}"), "sg_message_id": format!("m-{id}.filter"),
                "email_id": id.to_string(), "email": "reader@example.com", "timestamp": now.timestamp(),
            })
        };
        let body = some.iter().map(event).collect::<Value>().to_string();
        for _ in 0..2 {
            let mut request = self
                .http
                .post(format!("{base}/v1/webhooks/sendgrid"))
                .header("content-type", "application/json")
                .body(body.clone());
            for (name, value) in self.signer.headers(now.timestamp(), &body) {
                request = request.header(name, value);
            }
            match request.send().await {
                Ok(answer) => ensure!(answer.status() == 204, "{}", answer.text().await?),
                Err(_) => return Ok(()),
            }
        }
        self.untold.retain(|id| !some.contains(id));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mail_is_sent_twice_or_forgotten_however_often_systems_are_killed() -> anyhow::Result<()>
{
    let test = TestDb::postgres().await.map_err(|error| anyhow!(error))?;
    let (fake, signer) = (SendGrid::start(moods).await?, Signer::new());
    let ids = submit(&test.db, mails(200)).await?;
    let key = signer.key();
    let folders = (0..SYSTEMS)
        .map(|_| TempDir::new())
        .collect::<Result<Vec<_>, _>>()?;
    let start = |place: usize| Dev::start_as(system(&folders[place], &test, &fake, &key, 25));
    let mut systems = Vec::new();
    for place in 0..SYSTEMS {
        systems.push(start(place).await?);
    }
    let mut teller = Teller {
        fake: &fake,
        signer: &signer,
        untold: ids.iter().copied().filter(|id| is_told(*id)).collect(),
        http: reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?,
    };

    let (began, mut killed, mut kills) = (Instant::now(), Instant::now(), 0);
    while unfinished(&test.db).await? > 0 {
        ensure!(
            began.elapsed() < PATIENCE,
            "{} mails are not finished",
            unfinished(&test.db).await?
        );
        if killed.elapsed() >= KILL_PERIOD && kills < ids.len() / MAILS_A_KILL {
            let place = rand::random_range(0..SYSTEMS);
            systems.remove(place).kill().await?;
            systems.insert(place, start(place).await?);
            (killed, kills) = (Instant::now(), kills + 1);
        }
        teller
            .tell(&systems[kills % SYSTEMS].base, test.db.now())
            .await?;
        sleep(Duration::from_millis(100)).await;
    }
    // The provider goes on telling until it has told everything; nobody asks it any more.
    let taken = |id: &EmailId| fake.times(&id.to_string()) > 0;
    while teller.untold.iter().any(taken) {
        ensure!(began.elapsed() < PATIENCE, "the provider is not heard");
        teller.tell(&systems[0].base, test.db.now()).await?;
    }

    eprintln!(
        "{} mails, {kills} kills, {:.0} s, {} calls",
        ids.len(),
        began.elapsed().as_secs_f64(),
        fake.calls()
    );
    judge(&test.db, &fake, &ids).await?;
    drop(systems);
    test.close().await.map_err(|error| anyhow!(error))
}

/// Holds what the systems believe to what the provider knows.
async fn judge(db: &Db, fake: &SendGrid, ids: &[EmailId]) -> anyhow::Result<()> {
    let mut table: BTreeMap<(String, usize), usize> = BTreeMap::new();
    let mut conn = db.conn().await?;
    for id in ids {
        let email: Email = emails::get_any(&mut conn, *id).await?;
        let (status, times) = (email.status(), fake.times(&id.to_string()));
        *table.entry((status.to_string(), times)).or_default() += 1;
        match (times, status) {
            (0, Status::Unknown) => {}
            (1, Status::Sent) => ensure!(email.provider_id == Some(format!("m-{id}")), "{email:?}"),
            // Only what the provider never told of is not known.
            (1, Status::Unknown) => ensure!(!is_told(*id), "{email:?}"),
            (times, status) => return Err(anyhow!("{id} was taken {times} times and is {status}")),
        }
        let mail = fake.mail(&id.to_string());
        ensure!(
            times == 0 || mail["subject"] == json!("What is new: May"),
            "{mail}"
        );
    }
    for ((status, times), count) in table {
        eprintln!("{count:>6} mails taken {times} times by the provider are `{status}`");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_system_sends_over_few_connections() -> anyhow::Result<()> {
    let test = TestDb::postgres().await.map_err(|error| anyhow!(error))?;
    let fake = SendGrid::start(|_, _| Does::Take).await?;
    let ids = submit(&test.db, mails(100)).await?;
    let data = TempDir::new()?;
    let dev = Dev::start_as(system(&data, &test, &fake, &Signer::new().key(), 10_000)).await?;

    let began = Instant::now();
    while unfinished(&test.db).await? > 0 {
        ensure!(
            began.elapsed() < PATIENCE,
            "{} mails are not finished",
            unfinished(&test.db).await?
        );
        sleep(Duration::from_millis(20)).await;
    }

    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rate = ids.len() as f64 / seconds;
    let memory = memory(dev.pid().context("it runs")?)?;
    eprintln!(
        "{} mails in {seconds:.1} s: {rate:.0} mails/s; {memory:?}",
        ids.len()
    );
    ensure!(fake.peak() <= 16, "{} mails at the same time", fake.peak());
    for id in &ids {
        ensure!(fake.times(&id.to_string()) == 1, "{id}");
    }
    drop(dev);
    test.close().await.map_err(|error| anyhow!(error))
}

/// What a process needs and needed of memory, as Linux says it.
fn memory(pid: u32) -> anyhow::Result<HashMap<String, String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    let wanted = lines.filter(|(name, _)| matches!(*name, "VmRSS" | "VmHWM"));
    Ok(wanted
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}
