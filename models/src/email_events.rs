//! What a provider tells of a mail after it was sent, each event once.

use chrono::{DateTime, Utc};

use crate::{
    Address, EmailId,
    db::Tx,
    effects::{self, State},
    emails,
    error::Result,
    sql,
    sql::One,
    suppressions::{self, Reason},
    words,
};

words! {
    /// What has happened to a mail.
    Event {
        /// The provider took it.
        Processed = "processed",
        /// It arrived.
        Delivered = "delivered",
        /// It came back for good: there is no such mailbox.
        Bounced = "bounced",
        /// It was not taken for now, or for what it is: the mailbox may exist.
        Blocked = "blocked",
        /// Its reader called it spam.
        Complained = "complained",
        /// Its reader wants no more.
        Unsubscribed = "unsubscribed",
    }
}

/// One event, as a provider told it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Who told it.
    pub provider: &'static str,
    /// What the provider calls the event.
    pub event_id: String,
    /// The mail it is about.
    pub email_id: EmailId,
    /// What the provider calls the mail.
    pub provider_id: Option<String>,
    /// What has happened.
    pub event: Event,
    /// Why, without addresses.
    pub detail: Option<String>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
}

/// Learns from an event. Answers whether it was news: not when it was told before, and not when the
/// mail is none of ours.
pub async fn record(tx: &mut Tx, told: &Told, now: DateTime<Utc>) -> Result<bool> {
    let recipient = sql!(
        tx,
        fetch_optional One<Address>,
        "select recipient from emails where id = $1",
        told.email_id
    )?;
    let Some((recipient,)) = recipient else {
        return Ok(false);
    };
    let news = sql!(
        tx,
        execute,
        "insert into email_events (provider, event_id, email_id, event, occurred_at, created_at)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (provider, event_id) do nothing",
        told.provider,
        &told.event_id,
        told.email_id,
        told.event,
        told.occurred_at,
        now,
    )?;
    if news == 0 {
        return Ok(false);
    }
    let (state, suppressed) = match told.event {
        Event::Processed => (State::Sent, None),
        Event::Delivered => (State::Delivered, None),
        Event::Bounced => (State::Bounced, Some(Reason::Bounce)),
        Event::Blocked => (State::Bounced, None),
        Event::Complained => (State::Complained, Some(Reason::Complaint)),
        // It says nothing new of this mail: it was delivered.
        Event::Unsubscribed => (State::Delivered, Some(Reason::Unsubscribe)),
    };
    let (id, detail) = (told.provider_id.as_deref(), told.detail.as_deref());
    effects::report(tx, emails::key(told.email_id), state, id, detail, now).await?;
    if let Some(reason) = suppressed {
        suppressions::create(tx, &recipient, reason, now).await?;
    }
    Ok(true)
}
