//! Sends one mail: once, or visibly not known.
//!
//! ```text
//! look at the effect --- sent, withheld ---> done
//!   |        |     \---- unknown ----------> failed: nobody will know
//!   |        \---------- intent -----------> wait for the provider, then hold or resend
//!   v
//! may it be sent? --- no ---> withheld
//!   v
//! write the intent, commit, ask the provider, write what it answered
//! ```

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::kinds::SendEmail;
use mail::{Language, Links};
use models::{
    Db, Tx,
    effects::{self, Key, State},
    emails::{self, Email},
    preferences, suppressions,
    templates::Category,
    tokens::{self, Purpose},
};
use serde_json::json;
use tokio::time::sleep;
use tracing::{error, warn};

use super::Handle;
use crate::{
    ctx::Ctx,
    error::{JobError, Outcome},
    mailer::{Answer, Doubt, Mailer, Outgoing, Refusal},
    run::Run,
};

/// While a doubt lasts, the effect is looked at this often: the provider may have told.
const LOOK_PERIOD: Duration = Duration::from_secs(30);
/// A provider that keeps asking to be left alone is asked this often at most.
const CALLS_MAX: i64 = 50;
/// What the provider answered is written down within this many tries, from half a second apart.
const NOTE_TRIES_MAX: u32 = 8;

impl Handle for SendEmail {
    async fn run(self, ctx: &Ctx, run: &Run) -> Result<Outcome, JobError> {
        let email = emails::get_any(&mut ctx.db.conn().await?, self.email_id).await?;
        match email.effect {
            None | Some(State::Refused) => send(ctx, run, &email, None).await,
            Some(State::Intent) => doubt(ctx, run, &email).await,
            Some(State::Unknown) => Err(unknown()),
            Some(
                State::Withheld
                | State::Sent
                | State::Delivered
                | State::Bounced
                | State::Complained,
            ) => Ok(done(&email.status().to_string())),
        }
    }
}

fn done(status: &str) -> Outcome {
    Outcome::Done(Some(json!({"status": status})))
}

fn unknown() -> JobError {
    JobError::fail(
        "email_unknown",
        "the provider may have taken the mail or not, and did not tell",
    )
}

/// An earlier attempt asked and did not hear the answer, or did not live to write it down.
async fn doubt(ctx: &Ctx, run: &Run, email: &Email) -> Result<Outcome, JobError> {
    let effect = effects::find(&mut ctx.db.conn().await?, email.key()).await?;
    let Some(effect) = effect.filter(|effect| effect.state == State::Intent) else {
        // The provider has told just now: look again.
        return Err(JobError::snooze(Duration::ZERO));
    };
    if ctx.mailer.is_repeatable() {
        return send(ctx, run, email, Some(effect.calls)).await;
    }
    let asked = effect.called_at.unwrap_or(effect.updated_at);
    let waited = (ctx.db.now() - asked).to_std().unwrap_or_default();
    if let Some(left) = ctx.mailer.doubt_wait().checked_sub(waited) {
        run.say(
            "doubt",
            "Waiting for the provider to tell whether it took the mail",
        );
        return Err(JobError::snooze(left.min(LOOK_PERIOD)));
    }
    match ctx.mailer.doubt() {
        // Once: a provider that never answers must not be asked for ever.
        Doubt::Resend if effect.calls == 1 => {
            run.warn("The mail is sent once more, because nobody knows whether it was sent");
            send(ctx, run, email, Some(effect.calls)).await
        }
        Doubt::Resend | Doubt::Hold => {
            let mut tx = run.begin().await?;
            effects::give_up(&mut tx, email.key(), ctx.db.now()).await?;
            tx.commit().await?;
            Err(unknown())
        }
    }
}

/// Asks the provider, for the first time or after `doubted`, a call whose answer is not known.
async fn send(
    ctx: &Ctx,
    run: &Run,
    email: &Email,
    doubted: Option<i64>,
) -> Result<Outcome, JobError> {
    let place = ctx.mailer.admit().await;
    // Not all at the same moment.
    let later = |pause: Duration| pause.mul_f64(1.0 + rand::random::<f64>() * 0.2);
    let place = place.map_err(|pause| JobError::snooze(later(pause)))?;
    let now = ctx.db.now();
    let mut tx = run.begin().await?;
    if let Some(reason) = withheld(&mut tx, email).await? {
        effects::withhold(&mut tx, email.key(), email.owner_id, &reason, now).await?;
        tx.commit().await?;
        return Ok(done("withheld"));
    }
    let mail = write(&mut tx, &ctx.mailer, email, now).await?;
    let provider = ctx.mailer.provider();
    let call = match doubted {
        None => effects::intend(&mut tx, email.key(), email.owner_id, provider, now).await?,
        Some(call) => effects::insist(&mut tx, email.key(), call, now).await?,
    };
    let Some(call) = call else {
        // Somebody else was first, or the provider has told meanwhile: look again.
        return Err(JobError::snooze(Duration::ZERO));
    };
    tx.commit().await?;
    // On a task of its own: whoever stops this attempt does not stop the call half-way, so what the
    // provider answered is written down in any case but a crash.
    let asking = ask(ctx.mailer.clone(), ctx.db.clone(), email.key(), call, mail);
    let asking = tokio::spawn(async move {
        let answer = asking.await;
        drop(place);
        answer
    });
    let answer = asking.await.map_err(anyhow::Error::from)?;
    conclude(answer, call, ctx.mailer.doubt_wait())
}

/// Why a mail must not be sent, if it must not.
async fn withheld(tx: &mut Tx, email: &Email) -> Result<Option<String>, JobError> {
    let reason = suppressions::find(tx, &email.recipient, email.category).await?;
    if let Some(reason) = reason {
        return Ok(Some(format!("suppressed: {reason}")));
    }
    let wanted = preferences::wants(tx, &email.recipient, email.category).await?;
    Ok((!wanted).then(|| format!("not wanted: {}", email.category)))
}

/// The mail with fresh links. Tokens of an earlier attempt, which sent nothing, are void.
async fn write(
    tx: &mut Tx,
    mailer: &Mailer,
    email: &Email,
    now: DateTime<Utc>,
) -> Result<Outgoing, JobError> {
    let token = match email.template.purpose() {
        Some(purpose) => Some(tokens::issue(tx, email.id, purpose, now).await?),
        None => None,
    };
    let unsubscribe = match email.category {
        Category::Account => None,
        _ => Some(tokens::issue(tx, email.id, Purpose::Unsubscribe, now).await?),
    };
    let links = Links {
        site: mailer.site(),
        token: token.as_deref(),
        unsubscribe: unsubscribe.as_deref(),
    };
    let language = Language::find(&email.language);
    let content = mail::render(email.template, language, &email.variables, links);
    Ok(Outgoing {
        id: email.id,
        to: email.recipient.clone(),
        name: email.recipient_name.clone(),
        category: email.category,
        content: content.map_err(|error| JobError::fail("email_refused", error.to_string()))?,
        unsubscribe_url: links.unsubscribe_url(),
        attachments: email.attachments.clone(),
    })
}

/// Asks the provider, and writes down what it answered.
async fn ask(mailer: Mailer, db: Db, key: Key, call: i64, mail: Outgoing) -> Answer {
    let answer = mailer.send(&mail).await;
    let mut pause = Duration::from_millis(500);
    for _ in 0..NOTE_TRIES_MAX {
        match note(&db, key, call, &answer).await {
            Ok(()) => return answer,
            Err(error) => warn!(%error, "What the mail provider answered is not written down yet"),
        }
        sleep(pause).await;
        pause *= 2;
    }
    // What is not written down is not known: the next attempt finds the intent.
    error!("What the mail provider answered could not be written down");
    Answer::Doubt("the answer could not be written down".to_owned())
}

async fn note(db: &Db, key: Key, call: i64, answer: &Answer) -> models::Result<()> {
    let now = db.now();
    let mut tx = db.begin().await?;
    match answer {
        Answer::Taken(provider_id) => {
            effects::sent(&mut tx, key, provider_id.as_deref(), now).await?;
        }
        Answer::Refused(Refusal { detail, .. }) => {
            effects::refused(&mut tx, key, call, detail, now).await?;
        }
        // The intent says it already.
        Answer::Doubt(_) => return Ok(()),
    }
    tx.commit().await
}

/// How the attempt ends.
fn conclude(answer: Answer, call: i64, doubt_wait: Duration) -> Result<Outcome, JobError> {
    match answer {
        Answer::Taken(_) => Ok(done("sent")),
        Answer::Doubt(_) => Err(JobError::snooze(doubt_wait.min(LOOK_PERIOD))),
        Answer::Refused(refusal) if !refusal.retryable => {
            Err(JobError::fail("email_refused", refusal.detail))
        }
        Answer::Refused(Refusal {
            pause: Some(pause), ..
        }) if call < CALLS_MAX => Err(JobError::snooze(pause)),
        Answer::Refused(refusal) => Err(JobError::retry("email_unavailable", refusal.detail)),
    }
}
