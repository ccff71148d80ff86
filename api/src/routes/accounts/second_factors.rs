//! The second factor of an account: codes of an app besides the password, and codes to recover with.

use chrono::{DateTime, Utc};
use models::{
    Tx,
    audit::{self, Action},
    second_factors::{self, ENROLMENT, Proof},
    users::{self, User},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    me::proven,
    sessions::{deed, wrong},
    words::{self, Password, Token},
};
use crate::{
    app::App,
    body::Body,
    caller::{Caller, May, Permission},
    codes,
    json::Json,
    letters::{self, Event},
    limits::SECOND_FACTORS,
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// The operations on second factors.
pub(crate) struct SecondFactors;

#[OpenApi(tag = "Tag::Accounts")]
impl SecondFactors {
    /// Says whether signing in takes a code besides the password.
    #[oai(
        path = "/v1/users/me/second-factor",
        method = "get",
        operation_id = "get_second_factor"
    )]
    async fn get_second_factor(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadProfile as u8 }>,
    ) -> Result<Known, Problem> {
        let standing = second_factors::find(&mut app.conn().await?, caller.owner).await?;
        Ok(Known::Ok(Json::new(SecondFactor {
            confirmed_at: standing.as_ref().map(|standing| standing.confirmed_at),
            recovery_codes_left: standing.map_or(0, |standing| standing.codes_left),
        })))
    }

    /// Draws what an authenticator app needs. The answer is the only time that it is shown.
    ///
    /// Signing in goes on without codes until `confirm_second_factor` has shown that the app is right.
    #[oai(
        path = "/v1/users/me/second-factor",
        method = "post",
        operation_id = "begin_second_factor"
    )]
    async fn begin_second_factor(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ChangeCredentials as u8 }>,
        body: Body<NewSecondFactor>,
    ) -> Result<Begun, Problem> {
        caller.session()?;
        let user = proven(&app, caller, &body.value.password).await?;
        let (mut tx, now) = held(&app, &user).await?;
        let secret = second_factors::begin(&mut tx, user.id, now).await?;
        tx.commit().await?;
        Ok(Begun::Created(Json::new(SecondFactorSecret {
            secret: secret.encode(),
            uri: secret.uri(user.address.as_str()),
            expires_at: now + ENROLMENT,
        })))
    }

    /// Turns the second factor on by the first code of the app, and answers the recovery codes.
    ///
    /// They are shown this once. Each signs in once in place of a code of the app.
    #[oai(
        path = "/v1/users/me/second-factor/confirm",
        method = "post",
        operation_id = "confirm_second_factor"
    )]
    async fn confirm_second_factor(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ChangeCredentials as u8 }>,
        place: Place,
        context: RequestContext,
        body: Body<SecondFactorCode>,
    ) -> Result<Drawn, Problem> {
        caller.session()?;
        let user = users::get(&mut app.conn().await?, caller.owner).await?;
        admit_code(&app, &user).await?;
        let (mut tx, now) = held(&app, &user).await?;
        let code = body.value.code.expose();
        let codes = second_factors::confirm(&mut tx, user.id, code, now).await?;
        let codes = codes.ok_or_else(invalid)?;
        let deed = deed(user.id, Action::SecondFactorOn, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        letters::tell(&app, &user, Event::SecondFactorOn, &place, &context).await;
        Ok(Drawn::of(codes))
    }

    /// Turns the second factor off: it takes the password and a code.
    #[oai(
        path = "/v1/users/me/second-factor/delete",
        method = "post",
        operation_id = "delete_second_factor"
    )]
    async fn delete_second_factor(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ChangeCredentials as u8 }>,
        place: Place,
        context: RequestContext,
        body: Body<SecondFactorProof>,
    ) -> Result<Deleted, Problem> {
        let (user, mut tx, now) = proven_twice(&app, caller, &body.value).await?;
        second_factors::remove(&mut tx, user.id).await?;
        let deed = deed(user.id, Action::SecondFactorOff, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        letters::tell(&app, &user, Event::SecondFactorOff, &place, &context).await;
        Ok(Deleted::Done)
    }

    /// Draws new recovery codes in place of those that there are: it takes the password and a code.
    #[oai(
        path = "/v1/users/me/second-factor/recovery-codes",
        method = "post",
        operation_id = "renew_recovery_codes"
    )]
    async fn renew_recovery_codes(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ChangeCredentials as u8 }>,
        place: Place,
        context: RequestContext,
        body: Body<SecondFactorProof>,
    ) -> Result<Drawn, Problem> {
        let (user, mut tx, now) = proven_twice(&app, caller, &body.value).await?;
        let codes = second_factors::renew_codes(&mut tx, user.id, now).await?;
        let deed = deed(user.id, Action::RecoveryCodesRenewed, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        letters::tell(&app, &user, Event::RecoveryCodesRenewed, &place, &context).await;
        Ok(Drawn::of(codes))
    }
}

/// Has whoever signs in with the right password prove their second factor, if they have one. A wrong code is
/// written down. What was proven counts with the commit.
pub(super) async fn pass(
    mut tx: Tx,
    user: &User,
    code: Option<&Token>,
    place: &Place,
    context: &RequestContext,
    now: DateTime<Utc>,
) -> Result<(Tx, Option<Proof>), Problem> {
    if second_factors::find(&mut tx, user.id).await?.is_none() {
        return Ok((tx, None));
    }
    let Some(code) = code else {
        let code = &codes::SECOND_FACTOR_REQUIRED;
        return Err(Problem::new(code, code.meaning));
    };
    let proof = second_factors::prove(&mut tx, user.id, code.expose(), now).await?;
    let action = match proof {
        Some(Proof::App) => return Ok((tx, proof)),
        Some(Proof::Recovery) => Action::RecoveryCodeUsed,
        None => Action::LoginFailed,
    };
    let deed = deed(user.id, action, place, context);
    audit::append(&mut tx, &deed, now).await?;
    if proof.is_some() {
        return Ok((tx, proof));
    }
    tx.commit().await?;
    Err(invalid())
}

/// Counts one more code that is tried for an account: whoever knows its password could try them all.
pub(super) async fn admit_code(app: &App, user: &User) -> Result<(), Problem> {
    app.admit(SECOND_FACTORS, &user.id.to_string()).await?;
    Ok(())
}

/// The caller's account with their password and a code proven, in the transaction in which both count.
async fn proven_twice(
    app: &App,
    caller: Caller,
    proof: &SecondFactorProof,
) -> Result<(User, Tx, DateTime<Utc>), Problem> {
    caller.session()?;
    let user = proven(app, caller, &proof.password).await?;
    admit_code(app, &user).await?;
    let (mut tx, now) = held(app, &user).await?;
    let proof = second_factors::prove(&mut tx, user.id, proof.code.expose(), now).await?;
    proof.ok_or_else(invalid)?;
    Ok((user, tx, now))
}

/// A transaction in which the account stays as it was read.
async fn held(app: &App, user: &User) -> Result<(Tx, DateTime<Utc>), Problem> {
    let (mut tx, now) = (app.begin().await?, app.db.now());
    if !users::hold_as_read(&mut tx, user).await? {
        return Err(wrong());
    }
    Ok((tx, now))
}

fn invalid() -> Problem {
    let code = &codes::SECOND_FACTOR_INVALID;
    Problem::new(code, code.meaning)
}

/// The beginning of a second factor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewSecondFactor {
    /// The password of the account.
    #[schemars(schema_with = "words::known_password")]
    password: Password,
}

/// The first code of an app.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecondFactorCode {
    /// The code that the app shows.
    #[schemars(schema_with = "words::code")]
    code: Token,
}

/// What takes a person with both factors.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecondFactorProof {
    /// The password of the account.
    #[schemars(schema_with = "words::known_password")]
    password: Password,
    /// A code of the app, or a recovery code.
    #[schemars(schema_with = "words::code")]
    code: Token,
}

#[derive(ApiResponse)]
enum Known {
    /// How it stands.
    #[oai(status = 200)]
    Ok(Json<SecondFactor>),
}

#[derive(ApiResponse)]
enum Begun {
    /// What the app needs, for the only time.
    #[oai(status = 201)]
    Created(Json<SecondFactorSecret>),
}

#[derive(ApiResponse)]
enum Drawn {
    /// The recovery codes, for the only time.
    #[oai(status = 200)]
    Ok(Json<RecoveryCodes>),
}

impl Drawn {
    fn of(recovery_codes: Vec<String>) -> Self {
        Self::Ok(Json::new(RecoveryCodes { recovery_codes }))
    }
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is off.
    #[oai(status = 204)]
    Done,
}

/// Whether signing in takes a code besides the password.
#[derive(Debug, Serialize, JsonSchema)]
struct SecondFactor {
    /// Since when it does; null when it does not.
    confirmed_at: Option<DateTime<Utc>>,
    /// Recovery codes that were not used.
    recovery_codes_left: i64,
}

/// What an authenticator app needs (RFC 6238).
#[derive(Serialize, JsonSchema)]
struct SecondFactorSecret {
    /// To be typed into the app.
    secret: String,
    /// To be shown as a QR code, which the app reads.
    uri: String,
    /// Until then it has to be confirmed.
    expires_at: DateTime<Utc>,
}

/// Codes that sign in once each when the app is lost.
#[derive(Serialize, JsonSchema)]
struct RecoveryCodes {
    /// To be kept where the app is not.
    recovery_codes: Vec<String>,
}
