//! Accounts that become true when their mail is answered.
//!
//! Whoever registers an address that is not theirs only has a mail sent there. Several may wait for one
//! address; the first whose link is followed gets it, with the password of that very registration.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    address::Address,
    credentials,
    db::{Conn, Tx},
    error::Result,
    id::OwnerId,
    roles::Role,
    sql,
    sql::One,
    tokens::Purpose,
    users::{self, NewUser, User},
};

/// What an account is once its address is confirmed.
pub const ROLE: Role = Role::Author;
/// Mails that registrations may have sent to one address within [`PERIOD`].
pub const MAILS_MAX: i64 = 5;
/// See [`MAILS_MAX`].
pub const PERIOD: TimeDelta = TimeDelta::hours(1);

/// A row of `registrations`.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Registration {
    /// Who the account will be.
    pub user_id: OwnerId,
    /// Where it will be written to.
    pub address: Address,
    /// How the person is called.
    pub name: String,
    /// The language to write in.
    pub language: String,
    /// The hash of the password.
    pub password_hash: String,
}

/// How many registrations of an address there were of late.
pub async fn count(conn: &mut Conn, address: &Address, now: DateTime<Utc>) -> Result<i64> {
    let (count,) = sql!(
        conn, fetch_one One<i64>,
        "select count(*) from registrations where address_key = $1 and created_at > $2",
        users::key(address), now - PERIOD,
    )?;
    Ok(count)
}

/// Stores a registration with valid fields, and forgets those whose links are void by now.
pub async fn create(tx: &mut Tx, new: &Registration, now: DateTime<Utc>) -> Result<()> {
    sql!(
        tx,
        execute,
        "delete from registrations where created_at < $1",
        now - Purpose::Verify.lifetime() - TimeDelta::days(1),
    )?;
    sql!(
        tx,
        execute,
        "insert into registrations
            (user_id, address, address_key, name, language, password_hash, created_at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        new.user_id,
        &new.address,
        users::key(&new.address),
        &new.name,
        &new.language,
        &new.password_hash,
        now,
    )
    .map(|_| ())
}

/// Makes the account of a registration whose link was followed, and forgets the others of the same
/// address. Nothing when there is no such registration; `Conflict("address_taken")` when somebody
/// was first.
pub async fn redeem(tx: &mut Tx, user: OwnerId, now: DateTime<Utc>) -> Result<Option<User>> {
    let registration = sql!(
        tx, fetch_optional Registration,
        "delete from registrations where user_id = $1
        returning user_id, address, name, language, password_hash",
        user,
    )?;
    let Some(registration) = registration else {
        return Ok(None);
    };
    let new = NewUser {
        id: registration.user_id,
        address: &registration.address,
        name: &registration.name,
        language: &registration.language,
        role: ROLE,
    };
    let user = users::create(tx, &new, now).await?;
    credentials::put(tx, user.id, &registration.password_hash, now).await?;
    sql!(
        tx,
        execute,
        "delete from registrations where address_key = $1",
        users::key(&registration.address),
    )?;
    Ok(Some(user))
}
