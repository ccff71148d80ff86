//! Effects on the outside world: written down before they are tried, so that a crash leaves a doubt
//! that can be seen, and never a silent repetition.
//!
//! ```text
//!            intend             sent                     report
//!   (none) --------> intent ------------> sent ------> delivered, bounced, complained
//!      |             |  ^ \
//!      | withhold    |  |  \ give_up
//!      v     refused v  |   v
//!   withheld      refused   unknown ---- report, sent ---> as above
//! ```
//!
//! Whoever finds an `intent` that it did not write itself does not call: the call may have been made.
//! What a provider tells is true whoever hears it, so those writes need no lease; what we decide is
//! written in a transaction that was fenced.

use chrono::{DateTime, Utc};

use crate::{
    db::{Conn, Tx},
    error::Result,
    id::OwnerId,
    sql, words,
};
use uuid::Uuid;

words! {
    /// How far an effect is.
    State {
        /// Somebody was asked, or is about to be; the answer is not known.
        Intent = "intent",
        /// The answer was no: nothing happened, and asking again is safe.
        Refused = "refused",
        /// We decided not to ask.
        Withheld = "withheld",
        /// The provider took it.
        Sent = "sent",
        /// It arrived.
        Delivered = "delivered",
        /// It came back.
        Bounced = "bounced",
        /// Its receiver did not want it.
        Complained = "complained",
        /// It may have happened or not, and nobody will find out by waiting.
        Unknown = "unknown",
    }
}

words! {
    /// What is done outside.
    Kind {
        /// A mail; the subject is a row of `emails`.
        Email = "email",
    }
}

/// Names an effect: what is done, for which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// What is done.
    pub kind: Kind,
    /// The row that it is done for.
    pub subject: Uuid,
}

/// A row of `effects`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Effect {
    /// What is done.
    pub kind: Kind,
    /// The row that it is done for.
    pub subject_id: Uuid,
    /// Whose row that is.
    pub owner_id: OwnerId,
    /// How far it is.
    pub state: State,
    /// Who was asked.
    pub provider: String,
    /// What the provider calls it.
    pub provider_id: Option<String>,
    /// How many times the provider was asked; the token of the latest call.
    pub calls: i64,
    /// Why it was refused, withheld or bounced.
    pub detail: Option<String>,
    /// When the provider was last asked.
    pub called_at: Option<DateTime<Utc>>,
    /// When it was first intended.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// The effect, if it was ever intended.
pub async fn find(conn: &mut Conn, key: Key) -> Result<Option<Effect>> {
    sql!(
        conn, fetch_optional Effect,
        "select * from effects where kind = $1 and subject_id = $2", key.kind, key.subject,
    )
}

/// Writes down that the provider is about to be asked, and answers the number of the call.
///
/// Nothing when asking is not safe: somebody was asked before and did not say no.
pub async fn intend(
    tx: &mut Tx,
    key: Key,
    owner: OwnerId,
    provider: &str,
    now: DateTime<Utc>,
) -> Result<Option<i64>> {
    let effect = sql!(
        tx, fetch_optional Effect,
        "insert into effects
            (kind, subject_id, owner_id, state, provider, calls, called_at, created_at, updated_at)
        values ($1, $2, $3, 'intent', $4, 1, $5, $5, $5)
        on conflict (kind, subject_id) do update
        set state = 'intent', provider = excluded.provider, calls = effects.calls + 1,
            detail = null, called_at = excluded.called_at, updated_at = excluded.updated_at
        where effects.state = 'refused'
        returning *",
        key.kind, key.subject, owner, provider, now,
    )?;
    Ok(effect.map(|effect| effect.calls))
}

/// Asks once more although the answer to call number `call` is not known: the operator chose to
/// rather send twice than not at all. Answers the number of the new call.
pub async fn insist(tx: &mut Tx, key: Key, call: i64, now: DateTime<Utc>) -> Result<Option<i64>> {
    let effect = sql!(
        tx, fetch_optional Effect,
        "update effects set calls = calls + 1, called_at = $4, updated_at = $4
        where kind = $1 and subject_id = $2 and calls = $3 and state = 'intent'
        returning *",
        key.kind, key.subject, call, now,
    )?;
    Ok(effect.map(|effect| effect.calls))
}

/// The provider took it. True whoever asked, so an effect that was given up becomes known again.
pub async fn sent(
    tx: &mut Tx,
    key: Key,
    provider_id: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "update effects
        set state = case when state in ('intent', 'refused', 'unknown') then 'sent' else state end,
            provider_id = coalesce($3, provider_id), detail = null, updated_at = $4
        where kind = $1 and subject_id = $2 and state <> 'withheld'",
        key.kind,
        key.subject,
        provider_id,
        now,
    )
    .map(|_| ())
}

/// The answer to call number `call` was no: nothing happened.
pub async fn refused(
    tx: &mut Tx,
    key: Key,
    call: i64,
    detail: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "update effects set state = 'refused', detail = $4, updated_at = $5
        where kind = $1 and subject_id = $2 and calls = $3 and state in ('intent', 'unknown')",
        key.kind,
        key.subject,
        call,
        detail,
        now,
    )
    .map(|_| ())
}

/// Writes down that it is not done, and why. Does nothing to an effect that somebody was asked for.
pub async fn withhold(
    tx: &mut Tx,
    key: Key,
    owner: OwnerId,
    detail: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "insert into effects
            (kind, subject_id, owner_id, state, provider, calls, detail, created_at, updated_at)
        values ($1, $2, $3, 'withheld', '', 0, $4, $5, $5)
        on conflict (kind, subject_id) do update
        set state = 'withheld', detail = excluded.detail, updated_at = excluded.updated_at
        where effects.state = 'refused'",
        key.kind,
        key.subject,
        owner,
        detail,
        now,
    )
    .map(|_| ())
}

/// Nobody waits for the answer any more: an intent becomes unknown.
pub async fn give_up(tx: &mut Tx, key: Key, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update effects set state = 'unknown', updated_at = $3
        where kind = $1 and subject_id = $2 and state = 'intent'",
        key.kind,
        key.subject,
        now,
    )
    .map(|_| ())
}

/// What the provider told later. Reports come in any order: a later stage is never undone.
pub async fn report(
    tx: &mut Tx,
    key: Key,
    state: State,
    provider_id: Option<&str>,
    detail: Option<&str>,
    now: DateTime<Utc>,
) -> Result<()> {
    let stage = match state {
        State::Sent => 1_i64,
        State::Delivered => 2,
        State::Bounced => 3,
        State::Complained => 4,
        State::Intent | State::Refused | State::Withheld | State::Unknown => return Ok(()),
    };
    sql!(
        tx,
        execute,
        "update effects
        set state = $3, provider_id = coalesce(provider_id, $4), detail = $5, updated_at = $6
        where kind = $1 and subject_id = $2 and $7 > case state
            when 'sent' then 1 when 'delivered' then 2 when 'bounced' then 3
            when 'complained' then 4 when 'withheld' then 5 else 0 end",
        key.kind,
        key.subject,
        state,
        provider_id,
        detail,
        now,
        stage,
    )
    .map(|_| ())
}
