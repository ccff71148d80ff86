//! Accounts: who owns rows, how they are called, and what they may do.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;

use crate::{
    address::Address,
    api_keys, contacts,
    db::{Conn, Tx},
    error::{Error, Result},
    files,
    id::OwnerId,
    page::{Cursor, Limit, Page},
    roles::Role,
    sessions::{self, End},
    sql,
};

/// What an account prefers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// The zone in which times are shown, as the IANA names it.
    pub time_zone: Option<String>,
    /// Whether others see the name.
    pub public: bool,
}

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct User {
    /// The owner of what the account makes.
    pub id: OwnerId,
    /// As it is written to.
    pub address: Address,
    /// How the person is called.
    pub name: String,
    /// The language to write in, a tag of BCP 47.
    pub language: String,
    /// What the account is.
    pub role: Role,
    /// What it prefers.
    #[sqlx(json)]
    pub preferences: Preferences,
    /// Since when it may do nothing.
    pub suspended_at: Option<DateTime<Utc>>,
    /// Tokens of another epoch are void.
    pub epoch: i64,
    /// Since when there is this account.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// An account to be.
#[derive(Clone, Debug)]
pub struct NewUser<'n> {
    /// Its id, which may own rows already.
    pub id: OwnerId,
    /// Where it is written to.
    pub address: &'n Address,
    /// How the person is called; valid.
    pub name: &'n str,
    /// The language to write in; valid.
    pub language: &'n str,
    /// What the account is.
    pub role: Role,
}

/// What one mailbox is, however its name is written.
pub fn key(address: &Address) -> String {
    address.as_str().to_ascii_lowercase()
}

/// Creates an account and says where it is reached. `Conflict("address_taken")` when there is one
/// with that address.
pub async fn create(tx: &mut Tx, new: &NewUser<'_>, now: DateTime<Utc>) -> Result<User> {
    let user = sql!(
        tx, fetch_optional User,
        "insert into users (id, address, address_key, name, language, role, preferences, epoch,
            created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)
        on conflict do nothing
        returning *",
        new.id, new.address, key(new.address), new.name, new.language, new.role,
        Json(Preferences::default()), now,
    )?;
    let user = user.ok_or(Error::Conflict("address_taken"))?;
    contacts::put(tx, user.id, new.address, Some(new.name), new.language, now).await?;
    Ok(user)
}

/// The account of whoever uses this machine alone: there once it was asked for.
pub async fn local(tx: &mut Tx, now: DateTime<Utc>) -> Result<User> {
    sql!(
        tx,
        execute,
        "insert into users (id, address, address_key, name, language, role, preferences, epoch,
            created_at, updated_at)
        values ($1, 'author@localhost.localdomain', 'author@localhost.localdomain', 'Author', 'en',
            'author', $2, 1, $3, $3)
        on conflict (id) do nothing",
        OwnerId::LOCAL,
        Json(Preferences::default()),
        now,
    )?;
    get(tx, OwnerId::LOCAL).await
}

/// The account with this id, if there is one.
pub async fn find(conn: &mut Conn, id: OwnerId) -> Result<Option<User>> {
    sql!(conn, fetch_optional User, "select * from users where id = $1", id)
}

/// The account with this id.
pub async fn get(conn: &mut Conn, id: OwnerId) -> Result<User> {
    find(conn, id).await?.ok_or(Error::NotFound("user"))
}

/// The account, which nobody else changes until the commit.
pub async fn hold(tx: &mut Tx, id: OwnerId) -> Result<User> {
    sql!(
        tx, fetch_optional User,
        "update users set epoch = epoch where id = $1 returning *", id,
    )?
    .ok_or(Error::NotFound("user"))
}

/// Holds an account that was read before the transaction. False when it is gone, or was secured since:
/// what its owner has proven in between proves nothing any more.
pub async fn hold_as_read(tx: &mut Tx, user: &User) -> Result<bool> {
    match hold(tx, user.id).await {
        Ok(held) => Ok(held.epoch == user.epoch),
        Err(Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The account that this address belongs to, if there is one.
pub async fn find_by_address(conn: &mut Conn, address: &Address) -> Result<Option<User>> {
    sql!(
        conn, fetch_optional User,
        "select * from users where address_key = $1", key(address),
    )
}

/// Which accounts to list; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Its address or name contains this, whatever the case.
    pub text: Option<String>,
    /// It is this.
    pub role: Option<Role>,
    /// Whether it is suspended.
    pub suspended: Option<bool>,
}

/// Accounts, newest first.
pub async fn list(
    conn: &mut Conn,
    filter: &Filter,
    after: Option<Cursor>,
    limit: Limit,
) -> Result<Page<User>> {
    let after = after.unwrap_or_else(Cursor::start);
    let text = filter.text.as_ref().map(|text| like(text));
    let rows = sql!(
        conn, fetch_all User,
        "select * from users
        where (created_at, id) < ($1, $2)
            and ($3 is null or address_key like $3 escape '!' or lower(name) like $3 escape '!')
            and ($4 is null or role = $4)
            and ($5 is null or (suspended_at is not null) = $5)
        order by created_at desc, id desc
        limit $6",
        after.created_at, after.id, text, filter.role, filter.suspended, limit.and_one(),
    )?;
    Ok(Page::new(rows, limit, |user| Cursor {
        created_at: user.created_at,
        id: user.id.into(),
    }))
}

/// A pattern of what contains the text, whose own signs mean themselves.
fn like(text: &str) -> String {
    let text = text.to_lowercase();
    let text = text
        .replace('!', "!!")
        .replace('%', "!%")
        .replace('_', "!_");
    format!("%{text}%")
}

/// Changes how the account is called, by mail too, and what it prefers. Name and language must be valid.
pub async fn update(
    tx: &mut Tx,
    id: OwnerId,
    name: &str,
    language: &str,
    preferences: &Preferences,
    now: DateTime<Utc>,
) -> Result<User> {
    let user = sql!(
        tx, fetch_optional User,
        "update users set name = $2, language = $3, preferences = $4, updated_at = $5
        where id = $1 returning *",
        id, name, language, Json(preferences), now,
    )?
    .ok_or(Error::NotFound("user"))?;
    contacts::rename(tx, id, name, language, now).await?;
    Ok(user)
}

/// Moves the account to another address, and its contact with it; every token of it is void.
/// `Conflict("address_taken")` when somebody has the address; nothing can follow in the transaction then.
pub async fn move_to(
    tx: &mut Tx,
    id: OwnerId,
    address: &Address,
    now: DateTime<Utc>,
) -> Result<User> {
    let moved = sql!(
        tx, fetch_optional User,
        "update users set address = $2, address_key = $3, epoch = epoch + 1, updated_at = $4
        where id = $1 returning *",
        id, address, key(address), now,
    );
    let user = match moved {
        Err(error) if error.is_unique_violation() => return Err(Error::Conflict("address_taken")),
        moved => moved?.ok_or(Error::NotFound("user"))?,
    };
    contacts::move_to(tx, id, address, now).await?;
    sessions::end_all(tx, id, End::Password, now).await?;
    Ok(user)
}

/// Gives the account a role in place of the one it has.
pub async fn grant(tx: &mut Tx, id: OwnerId, role: Role, now: DateTime<Utc>) -> Result<User> {
    sql!(
        tx, fetch_optional User,
        "update users set role = $2, updated_at = $3 where id = $1 returning *",
        id, role, now,
    )?
    .ok_or(Error::NotFound("user"))
}

/// Suspends the account, or restores it; its tokens end with the change.
pub async fn suspend(
    tx: &mut Tx,
    id: OwnerId,
    suspended: bool,
    now: DateTime<Utc>,
) -> Result<User> {
    sql!(
        tx, fetch_optional User,
        "update users
        set suspended_at = case when $2 then coalesce(suspended_at, $3) end,
            epoch = epoch + 1, updated_at = $3
        where id = $1 returning *",
        id, suspended, now,
    )?
    .ok_or(Error::NotFound("user"))
}

/// Voids every access token of the account.
pub async fn renew(tx: &mut Tx, id: OwnerId, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "update users set epoch = epoch + 1, updated_at = $2 where id = $1",
        id,
        now,
    )
    .map(|_| ())
}

/// Ends all by which the account acts without its owner, and every session: what is left can be deleted.
pub async fn retire(tx: &mut Tx, id: OwnerId, now: DateTime<Utc>) -> Result<()> {
    sessions::end_all(tx, id, End::Everywhere, now).await?;
    api_keys::revoke_all(tx, id, now).await?;
    sql!(tx, execute, "delete from schedules where owner_id = $1", id)?;
    renew(tx, id, now).await
}

/// Deletes the account, what it can sign in with, and what it has made but for tasks, which are
/// history; those that live must be cancelled before.
pub async fn delete(tx: &mut Tx, id: OwnerId, now: DateTime<Utc>) -> Result<()> {
    contacts::delete(tx, id).await?;
    files::delete_all(tx, id, now).await?;
    sql!(tx, execute, "delete from schedules where owner_id = $1", id)?;
    sql!(tx, execute, "delete from courses where owner_id = $1", id)?;
    sql!(tx, execute, "delete from emails where owner_id = $1", id)?;
    sql!(tx, execute, "delete from users where id = $1", id).map(|_| ())
}
