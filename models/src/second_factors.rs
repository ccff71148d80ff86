//! What an account proves itself with besides its password, if its owner wants that: codes of an app, and
//! recovery codes for when the app is lost. Each code is good once.
//!
//! Recovery codes are kept as digests. The secret of the app is not, since codes are computed from it, and there
//! is no key outside of the database that it could be sealed with: whoever reads the database has the second
//! factor, as they have the key that links are signed with. The password, a hash, still keeps them out.

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE32_NOPAD;
use sqlx::types::Json;

use crate::{
    db::{Conn, Tx},
    error::{Error, Result},
    id::OwnerId,
    sql,
    sql::One,
    tokens::digest,
    totp::Secret,
};

/// Within this time, a first code has to show that the app has the secret.
pub const ENROLMENT: TimeDelta = TimeDelta::minutes(15);
/// Recovery codes that an account gets at once.
pub const CODES: usize = 10;
/// Random bytes of a recovery code.
const CODE_BYTES: usize = 10;
/// Letters of a recovery code that stand together.
const GROUP: usize = 4;

/// How somebody has proven their second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// With the code of an app.
    App,
    /// With a recovery code, which is used up.
    Recovery,
}

/// The second factor of an account that is asked for one.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Since when.
    pub confirmed_at: DateTime<Utc>,
    /// Recovery codes that were not used.
    pub codes_left: i64,
}

/// Draws the secret of an app, in place of one that was not confirmed. `Conflict("second_factor_on")` when one
/// was.
pub async fn begin(tx: &mut Tx, user: OwnerId, now: DateTime<Utc>) -> Result<Secret> {
    let secret = Secret::draw();
    let rows = sql!(
        tx,
        execute,
        "insert into second_factors (user_id, secret, step, created_at) values ($1, $2, 0, $3)
        on conflict (user_id) do update
        set secret = excluded.secret, step = excluded.step, created_at = excluded.created_at
        where second_factors.confirmed_at is null",
        user,
        secret.encode(),
        now,
    )?;
    if rows == 0 {
        return Err(Error::Conflict("second_factor_on"));
    }
    Ok(secret)
}

/// Turns the second factor on by the first code of the app, and answers the recovery codes. Nothing when the code
/// is wrong, or there is nothing to confirm.
pub async fn confirm(
    tx: &mut Tx,
    user: OwnerId,
    code: &str,
    now: DateTime<Utc>,
) -> Result<Option<Vec<String>>> {
    let begun = sql!(
        tx, fetch_optional One<String>,
        "select secret from second_factors
        where user_id = $1 and confirmed_at is null and created_at > $2",
        user, now - ENROLMENT,
    )?;
    let Some((secret,)) = begun else {
        return Ok(None);
    };
    let Some(step) = Secret::decode(&secret)?.steps(code, now).last() else {
        return Ok(None);
    };
    let rows = sql!(
        tx,
        execute,
        "update second_factors set confirmed_at = $3, step = $4
        where user_id = $1 and secret = $2 and confirmed_at is null",
        user,
        secret,
        now,
        step,
    )?;
    if rows == 0 {
        return Ok(None);
    }
    renew_codes(tx, user, now).await.map(Some)
}

/// How the second factor of an account stands; nothing when it has none.
pub async fn find(conn: &mut Conn, user: OwnerId) -> Result<Option<Standing>> {
    sql!(
        conn, fetch_optional Standing,
        "select f.confirmed_at, (
            select count(*) from recovery_codes c
            where c.user_id = f.user_id and c.used_at is null) as codes_left
        from second_factors f
        where f.user_id = $1 and f.confirmed_at is not null",
        user,
    )
}

/// Takes a code of the app or a recovery code, which is good once: of several that come with it at the same time,
/// one is told so. Nothing when it is none of the account's, or was taken before.
pub async fn prove(
    tx: &mut Tx,
    user: OwnerId,
    code: &str,
    now: DateTime<Utc>,
) -> Result<Option<Proof>> {
    let secret = sql!(
        tx, fetch_optional One<String>,
        "select secret from second_factors where user_id = $1 and confirmed_at is not null", user,
    )?;
    let Some((secret,)) = secret else {
        return Ok(None);
    };
    for step in Secret::decode(&secret)?.steps(code, now) {
        let taken = sql!(
            tx,
            execute,
            "update second_factors set step = $2 where user_id = $1 and step < $2",
            user,
            step,
        )?;
        if taken == 1 {
            return Ok(Some(Proof::App));
        }
    }
    let used = sql!(
        tx,
        execute,
        "update recovery_codes set used_at = $3
        where user_id = $1 and digest = $2 and used_at is null",
        user,
        digest(&plain(code)),
        now,
    )?;
    Ok((used == 1).then_some(Proof::Recovery))
}

/// Draws new recovery codes for an account with a second factor; those that it had are void.
pub async fn renew_codes(tx: &mut Tx, user: OwnerId, now: DateTime<Utc>) -> Result<Vec<String>> {
    sql!(
        tx,
        execute,
        "delete from recovery_codes where user_id = $1",
        user
    )?;
    let codes: Vec<String> = (0..CODES).map(|_| draw()).collect();
    let digests: Vec<String> = codes.iter().map(|code| digest(&plain(code))).collect();
    sql!(
        tx, execute,
        postgres
        "insert into recovery_codes (digest, user_id, created_at)
        select digest, $2, $3 from jsonb_array_elements_text($1) digest",
        sqlite
        "insert into recovery_codes (digest, user_id, created_at)
        select value, $2, $3 from json_each($1)",
        Json(digests), user, now,
    )?;
    Ok(codes)
}

/// Turns the second factor off, with its recovery codes. Answers whether there was one, confirmed or not.
pub async fn remove(tx: &mut Tx, user: OwnerId) -> Result<bool> {
    let rows = sql!(
        tx,
        execute,
        "delete from second_factors where user_id = $1",
        user
    )?;
    Ok(rows > 0)
}

/// A recovery code as people write it down: 80 bits in four groups of letters and digits.
fn draw() -> String {
    let text = BASE32_NOPAD.encode(&rand::random::<[u8; CODE_BYTES]>());
    let letters: Vec<char> = text.to_ascii_lowercase().chars().collect();
    let groups: Vec<String> = letters
        .chunks(GROUP)
        .map(|group| group.iter().collect())
        .collect();
    groups.join("-")
}

/// A recovery code however it was typed.
fn plain(code: &str) -> String {
    let signs = code.chars().filter(char::is_ascii_alphanumeric);
    signs.map(|sign| sign.to_ascii_lowercase()).collect()
}
