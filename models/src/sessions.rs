//! Sessions: what a login began, until somebody or time ends it.
//!
//! A refresh token is good once: it is exchanged for the next one of its session. One that comes
//! again was copied, by its owner or from its owner, and nobody can tell which: the session ends.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    db::{Conn, Tx},
    error::{Error, Result},
    id::{OwnerId, SessionId},
    page::{Cursor, Limit, Page},
    roles::{Permission, Permissions, Role},
    sql,
    tokens::digest,
    words,
};

/// How long a session lasts unless it is refreshed; refreshing it begins the time anew.
pub const LIFETIME: TimeDelta = TimeDelta::days(30);
/// How long the sessions of those who act as somebody else last, refreshed or not.
pub const IMPERSONATION: TimeDelta = TimeDelta::minutes(30);
/// What every refresh token begins with, so that people and scanners know one when they see it.
pub const REFRESH_PREFIX: &str = "lyo_refresh_";
/// Random bytes of a refresh token.
const TOKEN_BYTES: usize = 32;
/// What is kept of a place or of what a program calls itself, in characters.
const NOTE_CHARS_MAX: usize = 200;

words! {
    /// Why a session ended before its time.
    End {
        /// Its owner signed out.
        Logout = "logout",
        /// Its owner signed out everywhere.
        Everywhere = "everywhere",
        /// A refresh token came twice.
        Reuse = "reuse",
        /// The password or the address changed.
        Password = "password",
        /// The account was suspended, or may do less.
        Suspension = "suspension",
    }
}

/// A row of `sessions`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: OwnerId,
    /// Who is behind it, when it is not that user.
    pub impersonator_id: Option<OwnerId>,
    /// The address of the network where it began.
    pub place: String,
    /// What the program calls itself.
    pub agent: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed.
    pub used_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When somebody ended it.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why.
    pub ended_by: Option<End>,
}

/// Where a session begins.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The address of the network.
    pub place: String,
    /// What the program calls itself.
    pub agent: String,
    /// Who is behind it, when it is not the user.
    pub impersonator: Option<OwnerId>,
}

/// Begins a session.
pub async fn create(
    tx: &mut Tx,
    user: OwnerId,
    origin: &Origin,
    now: DateTime<Utc>,
) -> Result<Session> {
    let lifetime = match origin.impersonator {
        Some(_) => IMPERSONATION,
        None => LIFETIME,
    };
    let note = |text: &str| text.chars().take(NOTE_CHARS_MAX).collect::<String>();
    sql!(
        tx, fetch_one Session,
        "insert into sessions
            (id, user_id, impersonator_id, place, agent, created_at, used_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $6, $7)
        returning *",
        SessionId::new(), user, origin.impersonator, note(&origin.place), note(&origin.agent), now,
        now + lifetime,
    )
}

/// Draws the refresh token of a session. Only its digest is kept.
pub async fn issue(tx: &mut Tx, session: SessionId, now: DateTime<Utc>) -> Result<String> {
    let random = URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>());
    let token = format!("{REFRESH_PREFIX}{random}");
    sql!(
        tx,
        execute,
        "insert into refresh_tokens (digest, session_id, created_at) values ($1, $2, $3)",
        digest(&token),
        session,
        now,
    )?;
    Ok(token)
}

/// What a refresh token was exchanged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The session goes on, with this token.
    Next(Box<Session>, String),
    /// The token came before: the session was ended, which is to be committed.
    Reused(Box<Session>),
    /// It is no token of a session that lives.
    Unknown,
}

/// Exchanges a refresh token for the next one of its session.
pub async fn refresh(tx: &mut Tx, token: &str, now: DateTime<Utc>) -> Result<Refreshed> {
    let digest = digest(token);
    let session = sql!(
        tx, fetch_optional Session,
        "select s.* from refresh_tokens t join sessions s on s.id = t.session_id
        where t.digest = $1",
        &digest,
    )?;
    let Some(session) = session.filter(|session| session.ended_at.is_none()) else {
        return Ok(Refreshed::Unknown);
    };
    let fresh = sql!(
        tx,
        execute,
        "update refresh_tokens set used_at = $2 where digest = $1 and used_at is null",
        &digest,
        now,
    )?;
    if fresh == 0 {
        end(tx, session.user_id, session.id, End::Reuse, now).await?;
        return Ok(Refreshed::Reused(Box::new(session)));
    }
    if session.expires_at <= now {
        return Ok(Refreshed::Unknown);
    }
    let expires_at = match session.impersonator_id {
        Some(_) => session.expires_at,
        None => now + LIFETIME,
    };
    let session = sql!(
        tx, fetch_one Session,
        "update sessions set used_at = $2, expires_at = $3 where id = $1 returning *",
        session.id, now, expires_at,
    )?;
    let next = issue(tx, session.id, now).await?;
    // Whoever comes back with a token as old as that has lost the session anyway.
    sql!(
        tx,
        execute,
        "delete from refresh_tokens where session_id = $1 and used_at < $2",
        session.id,
        now - LIFETIME,
    )?;
    Ok(Refreshed::Next(Box::new(session), next))
}

/// The sessions of a user that live, newest first.
pub async fn list(
    conn: &mut Conn,
    user: OwnerId,
    after: Option<Cursor>,
    limit: Limit,
    now: DateTime<Utc>,
) -> Result<Page<Session>> {
    let after = after.unwrap_or_else(Cursor::start);
    let rows = sql!(
        conn, fetch_all Session,
        "select * from sessions
        where user_id = $1 and (created_at, id) < ($2, $3) and ended_at is null and expires_at > $4
        order by created_at desc, id desc
        limit $5",
        user, after.created_at, after.id, now, limit.and_one(),
    )?;
    Ok(Page::new(rows, limit, |session| Cursor {
        created_at: session.created_at,
        id: session.id.into(),
    }))
}

/// Ends a session of a user. `NotFound` when that user has none with this id.
pub async fn end(
    tx: &mut Tx,
    user: OwnerId,
    id: SessionId,
    why: End,
    now: DateTime<Utc>,
) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update sessions
        set ended_at = coalesce(ended_at, $3), ended_by = coalesce(ended_by, $4)
        where id = $2 and user_id = $1",
        user,
        id,
        now,
        why,
    )?;
    if rows == 0 {
        return Err(Error::NotFound("session"));
    }
    Ok(())
}

/// Ends every session of a user that lives, and those in which that user acts as somebody else.
pub async fn end_all(tx: &mut Tx, user: OwnerId, why: End, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update sessions set ended_at = $2, ended_by = $3
        where (user_id = $1 or impersonator_id = $1) and ended_at is null",
        user,
        now,
        why,
    )
    .map(|_| ())
}

/// How an account stands while a session of it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// What the account is.
    pub role: Role,
    /// Tokens of another epoch are void.
    pub epoch: i64,
    /// Who is behind the session, when it is not its user.
    pub impersonator_id: Option<OwnerId>,
    impersonator_role: Option<Role>,
}

/// How the account of a session stands; nothing when the session has ended or may do nothing, or who is
/// behind it may not act as somebody else.
pub async fn standing(
    conn: &mut Conn,
    user: OwnerId,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Standing>> {
    let standing = sql!(
        conn, fetch_optional Standing,
        "select u.role, u.epoch, s.impersonator_id, i.role as impersonator_role
        from sessions s join users u on u.id = s.user_id
            left join users i on i.id = s.impersonator_id
        where s.id = $2 and s.user_id = $1 and s.ended_at is null and s.expires_at > $3
            and u.suspended_at is null and i.suspended_at is null",
        user, id, now,
    )?;
    // Whoever acts as somebody else may do so only as long as they may begin to.
    let may = |role| Permissions::of(role).has(Permission::Impersonate);
    Ok(standing.filter(|standing| standing.impersonator_role.is_none_or(may)))
}

/// Forgets sessions that ended by themselves before this time, with their tokens: at most `limit`.
pub async fn prune(tx: &mut Tx, before: DateTime<Utc>, limit: u32) -> Result<u64> {
    sql!(
        tx,
        execute,
        "delete from sessions where id in
            (select id from sessions where expires_at < $1 order by expires_at limit $2)",
        before,
        i64::from(limit),
    )
}
