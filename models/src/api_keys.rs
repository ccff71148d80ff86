//! Keys for machines. A key is shown once; what is kept is its digest.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::types::Json;

use crate::{
    db::{Conn, Tx},
    error::{Error, Result},
    id::{ApiKeyId, OwnerId},
    roles::{Permission, Permissions, Role},
    sql,
    sql::One,
    tokens::digest,
    users,
};

/// What every key begins with, so that people and scanners know one when they see it.
pub const PREFIX: &str = "lyo_key_";
/// Keys of one account that are good.
pub const KEYS_MAX: i64 = 50;
/// The longest name of a key, in characters.
pub const NAME_CHARS_MAX: usize = 100;
/// Characters of a key that are kept, its first ones.
const SHOWN_CHARS: usize = 12;
/// Random bytes of a key.
const KEY_BYTES: usize = 32;
/// When a key was used is written down no more often.
const USE_PERIOD: TimeDelta = TimeDelta::minutes(1);

/// A row of `api_keys`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose it is.
    pub user_id: OwnerId,
    /// What its owner calls it.
    pub name: String,
    /// What it begins with.
    pub prefix: String,
    /// What it may do, as far as its account may.
    #[sqlx(json)]
    pub scopes: Vec<Permission>,
    /// Since when there is it.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub used_at: Option<DateTime<Utc>>,
}

/// Draws a key for an account, and answers it with its row. `Conflict("too_many_keys")` when the account
/// has as many as it may.
pub async fn create(
    tx: &mut Tx,
    user: OwnerId,
    name: &str,
    scopes: &[Permission],
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(ApiKey, String)> {
    check(name, scopes, expires_at, now)?;
    // One after the other, so that two do not both find room for the last one.
    users::hold(tx, user).await?;
    // So an account has no more rows than keys, however many it makes; the audit log remembers them.
    sql!(
        tx,
        execute,
        "delete from api_keys where user_id = $1 and (revoked_at is not null or expires_at <= $2)",
        user,
        now,
    )?;
    let (count,) = sql!(
        tx, fetch_one One<i64>, "select count(*) from api_keys where user_id = $1", user,
    )?;
    if count >= KEYS_MAX {
        return Err(Error::Conflict("too_many_keys"));
    }
    let random = URL_SAFE_NO_PAD.encode(rand::random::<[u8; KEY_BYTES]>());
    let secret = format!("{PREFIX}{random}");
    let prefix: String = secret.chars().take(SHOWN_CHARS).collect();
    let key = sql!(
        tx, fetch_one ApiKey,
        "insert into api_keys (id, user_id, name, prefix, digest, scopes, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        returning *",
        ApiKeyId::new(), user, name.trim(), prefix, digest(&secret), Json(scopes), now, expires_at,
    )?;
    Ok((key, secret))
}

fn check(
    name: &str,
    scopes: &[Permission],
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<()> {
    let length = name.trim().chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&length) || name.chars().any(char::is_control) {
        return Err(Error::invalid(
            "/name",
            "must be one line of 1 to 100 characters",
        ));
    }
    if scopes.is_empty() {
        return Err(Error::invalid(
            "/scopes",
            "must name at least one permission",
        ));
    }
    if let Some(index) = scopes.iter().position(|scope| !scope.is_for_machines()) {
        let reason = "is for people alone: no key can have it";
        return Err(Error::invalid(format!("/scopes/{index}"), reason));
    }
    if let Some(index) = (1..scopes.len()).find(|index| scopes[..*index].contains(&scopes[*index]))
    {
        return Err(Error::invalid(format!("/scopes/{index}"), "comes twice"));
    }
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Error::invalid("/expires_at", "must be in the future"));
    }
    Ok(())
}

/// How the account of a key stands.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Standing {
    /// The key.
    pub id: ApiKeyId,
    /// Whose it is.
    pub user_id: OwnerId,
    /// What the account is.
    pub role: Role,
    /// When the key ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    #[sqlx(json)]
    scopes: Vec<Permission>,
    used_at: Option<DateTime<Utc>>,
}

impl Standing {
    /// What the key may do: what was written on it, as far as the account may.
    pub fn permissions(&self) -> Permissions {
        let scopes: Permissions = self.scopes.iter().copied().collect();
        scopes.and(Permissions::of(self.role))
    }

    /// Whether its use is to be written down.
    pub fn is_unused_lately(&self, now: DateTime<Utc>) -> bool {
        self.used_at.is_none_or(|at| now - at >= USE_PERIOD)
    }
}

/// How the account of a key stands; nothing when the key is unknown, revoked or too old, or the account
/// is suspended.
pub async fn standing(
    conn: &mut Conn,
    secret: &str,
    now: DateTime<Utc>,
) -> Result<Option<Standing>> {
    sql!(
        conn, fetch_optional Standing,
        "select k.id, k.user_id, u.role, k.scopes, k.expires_at, k.used_at
        from api_keys k join users u on u.id = k.user_id
        where k.digest = $1 and k.revoked_at is null and u.suspended_at is null
            and (k.expires_at is null or k.expires_at > $2)",
        digest(secret), now,
    )
}

/// The same for a key that was good before.
pub async fn standing_of(
    conn: &mut Conn,
    id: ApiKeyId,
    now: DateTime<Utc>,
) -> Result<Option<Standing>> {
    sql!(
        conn, fetch_optional Standing,
        "select k.id, k.user_id, u.role, k.scopes, k.expires_at, k.used_at
        from api_keys k join users u on u.id = k.user_id
        where k.id = $1 and k.revoked_at is null and u.suspended_at is null
            and (k.expires_at is null or k.expires_at > $2)",
        id, now,
    )
}

/// Writes down that a key was used.
pub async fn touch(tx: &mut Tx, id: ApiKeyId, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update api_keys set used_at = $2 where id = $1 and (used_at is null or used_at < $2)",
        id,
        now,
    )
    .map(|_| ())
}

/// The keys of an account that are not revoked, newest first: [`KEYS_MAX`] at most.
pub async fn list(conn: &mut Conn, user: OwnerId) -> Result<Vec<ApiKey>> {
    sql!(
        conn, fetch_all ApiKey,
        "select * from api_keys where user_id = $1 and revoked_at is null
        order by created_at desc, id desc limit $2",
        user, KEYS_MAX,
    )
}

/// Revokes a key of an account. `NotFound` when that account has none with this id.
pub async fn revoke(tx: &mut Tx, user: OwnerId, id: ApiKeyId, now: DateTime<Utc>) -> Result<()> {
    let rows = sql!(
        tx,
        execute,
        "update api_keys set revoked_at = $3
        where id = $2 and user_id = $1 and revoked_at is null",
        user,
        id,
        now,
    )?;
    if rows == 0 {
        return Err(Error::NotFound("key"));
    }
    Ok(())
}

/// Revokes every key of an account.
pub async fn revoke_all(tx: &mut Tx, user: OwnerId, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update api_keys set revoked_at = $2 where user_id = $1 and revoked_at is null",
        user,
        now,
    )
    .map(|_| ())
}
