//! Who did what to which subject, from where: rows that are added and never changed.
//!
//! Each row holds the hash of itself and of the hash before it, so that a row which was changed, taken
//! out or put in between shows, and everything after it. Whoever can write to the database can also
//! write the whole chain anew: keep its last hash elsewhere (`lyo audit verify` prints it) to notice that.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    db::{Conn, Tx},
    error::Result,
    id::OwnerId,
    page::Limit,
    sql, words,
};

/// Entries that are read at once while the chain is verified.
const STRIDE: i64 = 1_000;

words! {
    /// What was done.
    Action {
        /// An account began.
        Registered = "user.registered",
        /// Somebody signed in.
        LoggedIn = "user.logged_in",
        /// Somebody tried to sign in, with a wrong password or without an account.
        LoginFailed = "user.login_failed",
        /// Somebody signed out, or ended a session.
        LoggedOut = "user.logged_out",
        /// A refresh token came twice.
        TokenReused = "user.token_reused",
        /// The password became another one.
        PasswordChanged = "user.password_changed",
        /// Signing in takes a code besides the password from now on.
        SecondFactorOn = "second_factor.on",
        /// Signing in takes no code any more.
        SecondFactorOff = "second_factor.off",
        /// Somebody proved themselves with a recovery code.
        RecoveryCodeUsed = "recovery_code.used",
        /// The account got other recovery codes.
        RecoveryCodesRenewed = "recovery_codes.renewed",
        /// The account moved to another address.
        AddressChanged = "user.address_changed",
        /// The account was deleted.
        Deleted = "user.deleted",
        /// A key was made.
        KeyCreated = "key.created",
        /// A key was revoked.
        KeyRevoked = "key.revoked",
        /// The account was suspended.
        Suspended = "user.suspended",
        /// The account was restored.
        Restored = "user.restored",
        /// The account got a role.
        RoleGranted = "user.role_granted",
        /// Somebody began to act as somebody else.
        Impersonated = "user.impersonated",
        /// A queue was paused, resumed or drained.
        QueueSteered = "queue.steered",
        /// Tasks of others were cancelled.
        TasksCancelled = "tasks.cancelled",
        /// Tasks of others were tried again.
        TasksRetried = "tasks.retried",
    }
}

/// What is to be written down.
#[derive(Clone, Debug)]
pub struct Deed {
    /// The account that acted, if it is known.
    pub actor: Option<OwnerId>,
    /// Who was behind it, when that was not its owner.
    pub impersonator: Option<OwnerId>,
    /// What was done.
    pub action: Action,
    /// What it was done to: `users/ID`; empty when there is nothing to name.
    pub subject: String,
    /// The address of the network that it came from.
    pub place: String,
    /// The request, when there was one.
    pub request_id: Option<String>,
}

/// A row of `audit_entries`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Entry {
    /// Its place in the chain, from 1.
    pub seq: i64,
    /// When it was done.
    pub at: DateTime<Utc>,
    /// The account that acted.
    pub actor_id: Option<OwnerId>,
    /// Who was behind it, when that was not its owner.
    pub impersonator_id: Option<OwnerId>,
    /// What was done: a word of [`Action`], of this release or of another.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// The address of the network that it came from.
    pub place: String,
    /// The request.
    pub request_id: Option<String>,
    /// The hash of all this and of the hash before.
    pub hash: String,
}

#[derive(Debug, sqlx::FromRow)]
struct Head {
    seq: i64,
    hash: String,
}

/// Adds to the chain. To be the last statement of a transaction: until its commit, nobody else can.
pub async fn append(tx: &mut Tx, deed: &Deed, now: DateTime<Utc>) -> Result<()> {
    let head = sql!(
        tx, fetch_one Head,
        "update audit_head set seq = seq + 1 where id = 1 returning seq, hash",
    )?;
    let mut entry = Entry {
        seq: head.seq,
        at: now,
        actor_id: deed.actor,
        impersonator_id: deed.impersonator,
        action: deed.action.as_str().to_owned(),
        subject: deed.subject.clone(),
        place: deed.place.clone(),
        request_id: deed.request_id.clone(),
        hash: String::new(),
    };
    entry.hash = entry.hash_after(&head.hash);
    sql!(
        tx,
        execute,
        "insert into audit_entries
            (seq, at, actor_id, impersonator_id, action, subject, place, request_id, hash)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        entry.seq,
        entry.at,
        entry.actor_id,
        entry.impersonator_id,
        &entry.action,
        &entry.subject,
        &entry.place,
        &entry.request_id,
        &entry.hash,
    )?;
    sql!(
        tx,
        execute,
        "update audit_head set hash = $1 where id = 1",
        &entry.hash
    )
    .map(|_| ())
}

impl Entry {
    fn hash_after(&self, previous: &str) -> String {
        let (seq, at) = (self.seq.to_string(), self.at.timestamp_micros().to_string());
        let id = |id: Option<OwnerId>| id.map(|id| Uuid::from(id).to_string()).unwrap_or_default();
        let (actor, impersonator) = (id(self.actor_id), id(self.impersonator_id));
        let parts = [
            previous,
            &seq,
            &at,
            &actor,
            &impersonator,
            &self.action,
            &self.subject,
            &self.place,
            self.request_id.as_deref().unwrap_or_default(),
        ];
        let mut hasher = Sha256::new();
        for part in parts {
            // With their lengths, so that nothing can move from one part to the next.
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        crate::tokens::hexadecimal(&hasher.finalize())
    }
}

/// Which entries to list; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this account.
    pub actor: Option<OwnerId>,
    /// Of this action.
    pub action: Option<String>,
    /// Done to this.
    pub subject: Option<String>,
    /// Not before this time.
    pub after: Option<DateTime<Utc>>,
    /// Before this time.
    pub before: Option<DateTime<Utc>>,
}

/// Entries below a place in the chain, newest first.
pub async fn list(
    conn: &mut Conn,
    filter: &Filter,
    below: Option<i64>,
    limit: Limit,
) -> Result<Vec<Entry>> {
    let (below, limit) = (below.unwrap_or(i64::MAX), limit.and_one());
    let Filter {
        actor,
        action,
        subject,
        after,
        before,
    } = filter;
    // A text for each index: what may be absent cannot be looked up in one.
    if actor.is_some() {
        return sql!(
            conn, fetch_all Entry,
            "select * from audit_entries
            where actor_id = $2 and seq < $1 and ($3 is null or action = $3)
                and ($4 is null or subject = $4) and ($5 is null or at >= $5)
                and ($6 is null or at < $6)
            order by seq desc
            limit $7",
            below, actor, action, subject, after, before, limit,
        );
    }
    if subject.is_some() {
        return sql!(
            conn, fetch_all Entry,
            "select * from audit_entries
            where subject = $2 and seq < $1 and ($3 is null or action = $3)
                and ($4 is null or at >= $4) and ($5 is null or at < $5)
            order by seq desc
            limit $6",
            below, subject, action, after, before, limit,
        );
    }
    if action.is_some() {
        return sql!(
            conn, fetch_all Entry,
            "select * from audit_entries
            where action = $2 and seq < $1 and ($3 is null or at >= $3) and ($4 is null or at < $4)
            order by seq desc
            limit $5",
            below, action, after, before, limit,
        );
    }
    sql!(
        conn, fetch_all Entry,
        "select * from audit_entries
        where seq < $1 and ($2 is null or at >= $2) and ($3 is null or at < $3)
        order by seq desc
        limit $4",
        below, after, before, limit,
    )
}

/// What looking at the whole chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is as it was written.
    Whole {
        /// How many there are.
        entries: i64,
        /// The hash of the last one.
        hash: String,
    },
    /// The chain is broken here.
    Broken {
        /// The first entry that is not as it was written, or that is missing.
        seq: i64,
        /// In which way.
        reason: &'static str,
    },
}

/// Looks at the whole chain, as long as it is now.
pub async fn verify(conn: &mut Conn) -> Result<Verdict> {
    let head = sql!(conn, fetch_one Head, "select seq, hash from audit_head where id = 1")?;
    let (mut seq, mut hash) = (0_i64, String::new());
    let broken = |seq, reason| Ok(Verdict::Broken { seq, reason });
    while seq < head.seq {
        let entries = sql!(
            conn, fetch_all Entry,
            "select * from audit_entries where seq > $1 and seq <= $2 order by seq limit $3",
            seq, head.seq, STRIDE,
        )?;
        if entries.is_empty() {
            return broken(seq + 1, "the entry is missing, and all after it");
        }
        for entry in entries {
            seq += 1;
            if entry.seq != seq {
                return broken(seq, "the entry is missing");
            }
            if entry.hash != entry.hash_after(&hash) {
                return broken(seq, "the entry is not as it was written");
            }
            hash = entry.hash;
        }
    }
    if hash != head.hash {
        return broken(seq, "the end of the chain is not the last entry");
    }
    Ok(Verdict::Whole { entries: seq, hash })
}
