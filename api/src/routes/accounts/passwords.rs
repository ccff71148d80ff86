//! Passwords: to change one, and to choose a new one when it was forgotten.

use std::time::Duration;

use chrono::{DateTime, Utc};
use models::{
    Tx, api_keys,
    audit::{self, Action},
    credentials,
    sessions::{self, End},
    templates::Template,
    tokens::{self, Purpose},
    users::{self, User},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    me::proven,
    registrations::{CheckMail, unknown_link},
    sessions::{deed, wrong},
    words::{self, Password, Token},
};
use crate::{
    app::App,
    body::Body,
    caller::{May, Permission, Public},
    json::Json,
    letters::{self, Event},
    limits::{FORGOTTEN, FORGOTTEN_PER_PLACE, LINKS},
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// How long somebody waits when too many mails are being written.
const CROWDED: Duration = Duration::from_secs(1);

/// The operations on passwords.
pub(crate) struct Passwords;

#[OpenApi(tag = "Tag::Accounts")]
impl Passwords {
    /// Changes the password. Every session ends, this one too: sign in with the new one.
    #[oai(
        path = "/v1/users/me/password",
        method = "put",
        operation_id = "change_password"
    )]
    async fn change_password(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ChangeCredentials as u8 }>,
        place: Place,
        context: RequestContext,
        body: Body<PasswordChange>,
    ) -> Result<Changed, Problem> {
        caller.session()?;
        let change = body.value;
        let user = proven(&app, caller, &change.old).await?;
        let hash = hash(&app, &user, &change.new).await?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if !users::hold_as_read(&mut tx, &user).await? {
            return Err(wrong());
        }
        replace(&mut tx, &user, &hash, &place, &context, now).await?;
        tx.commit().await?;
        app.standings.clear();
        letters::tell(&app, &user, Event::PasswordChanged, &place, &context).await;
        Ok(Changed::Done)
    }

    /// Asks for a mail with a link to choose a new password.
    ///
    /// The answer does not tell whether the address has an account.
    #[oai(
        path = "/v1/password/forgot",
        method = "post",
        operation_id = "forgot_password"
    )]
    async fn forgot_password(
        &self,
        app: Data<&App>,
        _public: Public,
        place: Place,
        context: RequestContext,
        body: Body<Forgotten>,
    ) -> Result<Asked, Problem> {
        let address = words::parse(&body.value.address)?;
        app.admit(FORGOTTEN_PER_PLACE, &place.key()).await?;
        let room = app.resets.clone().try_acquire_owned();
        let room = room.map_err(|_| Problem::limited(CROWDED))?;
        app.admit(FORGOTTEN, &users::key(&address)).await?;
        let app = app.clone();
        // Beside the answer: how long it takes must not tell whether there is such an account.
        tokio::spawn(async move {
            let _room = room;
            if let Err(problem) = send_reset(&app, &address, &context).await {
                tracing::warn!(
                    cause = problem.cause,
                    "No mail to reset a password: {problem}"
                );
            }
        });
        Ok(Asked::Ok(Json::new(CheckMail {
            next: "reset_password",
        })))
    }

    /// Chooses a new password by the token of a link. Every session of the account ends.
    #[oai(
        path = "/v1/password/reset",
        method = "post",
        operation_id = "reset_password"
    )]
    async fn reset_password(
        &self,
        app: Data<&App>,
        _public: Public,
        place: Place,
        context: RequestContext,
        body: Body<Reset>,
    ) -> Result<Changed, Problem> {
        app.admit(LINKS, &place.key()).await?;
        let (token, password) = (body.value.token.expose(), &body.value.password);
        let (mut conn, now) = (app.conn().await?, app.db.now());
        let proof = tokens::find(&mut conn, token, Purpose::Reset, now).await?;
        let proof = proof.ok_or_else(unknown_link)?;
        let user = users::find(&mut conn, proof.owner_id).await?;
        // A letter that its owner had sent to somebody else proves nothing for the account.
        let user = user.filter(|user| user.address.as_str() == proof.recipient);
        let user = user.ok_or_else(unknown_link)?;
        drop(conn);
        // The link is used up only by a password that is good enough.
        let hash = hash(&app, &user, password).await?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if !users::hold_as_read(&mut tx, &user).await? {
            return Err(unknown_link());
        }
        let proof = tokens::redeem(&mut tx, token, Purpose::Reset, now).await?;
        proof.ok_or_else(unknown_link)?;
        // Whoever knew the forgotten password could make keys.
        api_keys::revoke_all(&mut tx, user.id, now).await?;
        replace(&mut tx, &user, &hash, &place, &context, now).await?;
        tx.commit().await?;
        app.standings.clear();
        letters::tell(&app, &user, Event::PasswordChanged, &place, &context).await;
        Ok(Changed::Done)
    }
}

/// The form in which a new password of an account is kept.
async fn hash(app: &App, user: &User, new: &Password) -> Result<String, Problem> {
    let about = [user.name.as_str(), user.address.as_str()];
    app.passwords.hash_new(new.expose(), &about).await
}

/// Puts a password in place of the old one: who is signed in with that one is so no more.
async fn replace(
    tx: &mut Tx,
    user: &User,
    hash: &str,
    place: &Place,
    context: &RequestContext,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    credentials::put(tx, user.id, hash, now).await?;
    tokens::revoke(tx, user.id, Purpose::Reset).await?;
    sessions::end_all(tx, user.id, End::Password, now).await?;
    users::renew(tx, user.id, now).await?;
    let deed = deed(user.id, Action::PasswordChanged, place, context);
    Ok(audit::append(tx, &deed, now).await?)
}

async fn send_reset(
    app: &App,
    address: &models::Address,
    context: &RequestContext,
) -> Result<(), Problem> {
    let (mut tx, now) = (app.begin().await?, app.db.now());
    let Some(user) = users::find_by_address(&mut tx, address).await? else {
        return Ok(());
    };
    let template = Template::ResetPassword;
    let task = letters::link(&mut tx, template, (&user).into(), context, now).await?;
    tx.commit().await?;
    app.bell.tell(&task, now);
    Ok(())
}

/// A new password in place of the old one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    /// The password as it is.
    #[schemars(schema_with = "words::known_password")]
    old: Password,
    /// The password as it shall be.
    #[schemars(schema_with = "words::new_password")]
    new: Password,
}

/// Whose password is forgotten.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Forgotten {
    /// The address of the account.
    #[schemars(schema_with = "words::mail_address")]
    address: String,
}

/// A new password in place of one that was forgotten.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// The token of the link.
    #[schemars(schema_with = "words::secret")]
    token: Token,
    /// The new password.
    #[schemars(schema_with = "words::new_password")]
    password: Password,
}

#[derive(ApiResponse)]
enum Asked {
    /// If there is such an account, a mail is on its way.
    #[oai(status = 202)]
    Ok(Json<CheckMail>),
}

#[derive(ApiResponse)]
enum Changed {
    /// It is the new one from now on.
    #[oai(status = 204)]
    Done,
}
