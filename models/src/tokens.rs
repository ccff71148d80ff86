//! What a link in a mail proves: that its reader reads that mailbox.
//!
//! A token is drawn when the mail is written and kept as a digest only, so neither the database nor
//! its backups hold anything that could be followed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use crate::{
    db::{Conn, Tx},
    error::Result,
    id::{EmailId, OwnerId},
    sql,
    templates::Category,
    words,
};

words! {
    /// What a token is good for.
    Purpose {
        /// To confirm the address, once.
        Verify = "verify",
        /// To choose a new password, once.
        Reset = "reset",
        /// To unsubscribe, as often as somebody likes.
        Unsubscribe = "unsubscribe",
    }
}

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

impl Purpose {
    /// How long a token is good.
    pub const fn lifetime(self) -> TimeDelta {
        match self {
            Self::Verify => TimeDelta::days(3),
            Self::Reset => TimeDelta::hours(1),
            // Laws ask that the link in a letter works for long.
            Self::Unsubscribe => TimeDelta::days(400),
        }
    }
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Proof {
    /// The mail that carried it.
    pub email_id: EmailId,
    /// Whose mail that was.
    pub owner_id: OwnerId,
    /// Who received it.
    pub recipient: String,
    /// What the mail was about.
    pub category: Category,
    /// When the mail was asked for.
    pub asked_at: DateTime<Utc>,
}

/// Draws a token for a mail. One drawn for it before, by an attempt that sent nothing, is void.
pub async fn issue(
    tx: &mut Tx,
    email: EmailId,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<String> {
    sql!(
        tx,
        execute,
        "delete from email_tokens where email_id = $1 and purpose = $2 and used_at is null",
        email,
        purpose,
    )?;
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>());
    sql!(
        tx,
        execute,
        "insert into email_tokens (digest, email_id, purpose, expires_at, created_at)
        values ($1, $2, $3, $4, $5)",
        digest(&token),
        email,
        purpose,
        now + purpose.lifetime(),
        now,
    )?;
    Ok(token)
}

/// What a token stands for, without using it up. Nothing when it is unknown, used or out of date.
pub async fn find(
    conn: &mut Conn,
    token: &str,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<Option<Proof>> {
    sql!(
        conn, fetch_optional Proof,
        "select e.id as email_id, e.owner_id, e.recipient, e.category,
            e.created_at as asked_at
        from email_tokens t join emails e on e.id = t.email_id
        where t.digest = $1 and t.purpose = $2 and t.used_at is null and t.expires_at > $3",
        digest(token), purpose, now,
    )
}

/// Uses a token up: of several that try at the same time, one gets the proof.
pub async fn redeem(
    tx: &mut Tx,
    token: &str,
    purpose: Purpose,
    now: DateTime<Utc>,
) -> Result<Option<Proof>> {
    let Some(proof) = find(tx, token, purpose, now).await? else {
        return Ok(None);
    };
    let used = sql!(
        tx,
        execute,
        "update email_tokens set used_at = $2 where digest = $1 and used_at is null",
        digest(token),
        now,
    )?;
    Ok((used == 1).then_some(proof))
}

/// Makes the tokens void that were sent to an owner for a purpose and not used.
pub async fn revoke(tx: &mut Tx, owner: OwnerId, purpose: Purpose) -> Result<()> {
    sql!(
        tx,
        execute,
        "delete from email_tokens
        where purpose = $2 and used_at is null
            and email_id in (select id from emails where owner_id = $1)",
        owner,
        purpose,
    )
    .map(|_| ())
}

/// What is kept of a secret that was drawn at random: its SHA-256, in hexadecimal.
pub(crate) fn digest(token: &str) -> String {
    hexadecimal(&Sha256::digest(token.as_bytes()))
}

/// Bytes as they are written down.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
