//! Accounts that move to another mail address: the old one and the new one both have to agree.

use chrono::{DateTime, Utc};

use crate::{
    address::Address,
    db::Tx,
    error::Result,
    id::OwnerId,
    sql,
    tokens::Proof,
    users::{self, User},
};

#[derive(Debug, sqlx::FromRow)]
struct Change {
    address: Address,
    old_confirmed_at: Option<DateTime<Utc>>,
    new_confirmed_at: Option<DateTime<Utc>>,
}

/// How far a change is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// There is no change that the link belongs to.
    Nothing,
    /// The other address has not answered.
    Half,
    /// The account has moved.
    Moved(Box<User>),
}

/// Begins a change, in place of one that was not answered.
pub async fn begin(
    tx: &mut Tx,
    user: OwnerId,
    address: &Address,
    now: DateTime<Utc>,
) -> Result<()> {
    sql!(
        tx,
        execute,
        "insert into address_changes (user_id, address, address_key, created_at)
        values ($1, $2, $3, $4)
        on conflict (user_id) do update
        set address = excluded.address, address_key = excluded.address_key,
            old_confirmed_at = null, new_confirmed_at = null, created_at = excluded.created_at",
        user,
        address,
        users::key(address),
        now,
    )
    .map(|_| ())
}

/// Takes the answer of one of the two addresses of an account. A link of an earlier change proves
/// nothing, nor does one that went elsewhere.
pub async fn confirm(
    tx: &mut Tx,
    user: &User,
    proof: &Proof,
    now: DateTime<Utc>,
) -> Result<Confirmed> {
    let change = sql!(
        tx, fetch_optional Change,
        "update address_changes
        set new_confirmed_at = case when address = $2 then $3 else new_confirmed_at end,
            old_confirmed_at = case when $2 = $4 then $3 else old_confirmed_at end
        where user_id = $1 and created_at <= $5 and (address = $2 or $2 = $4)
        returning address, old_confirmed_at, new_confirmed_at",
        user.id, &proof.recipient, now, &user.address, proof.asked_at,
    )?;
    let Some(change) = change else {
        return Ok(Confirmed::Nothing);
    };
    if change.old_confirmed_at.is_none() || change.new_confirmed_at.is_none() {
        return Ok(Confirmed::Half);
    }
    let user = users::move_to(tx, user.id, &change.address, now).await?;
    sql!(
        tx,
        execute,
        "delete from address_changes where user_id = $1",
        user.id
    )?;
    Ok(Confirmed::Moved(Box::new(user)))
}
