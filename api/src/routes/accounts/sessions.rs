//! Signing in, staying signed in, and signing out.

use chrono::{DateTime, Utc};
use models::{
    OwnerId,
    audit::{self, Action, Deed},
    credentials,
    second_factors::Proof,
    sessions::{self, End, Refreshed, Session},
    users::{self, User},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    second_factors,
    words::{self, Password, Token},
};
use crate::{
    access::LIFETIME,
    app::App,
    body::Body,
    caller::{Caller, May, Permission, Public},
    codes,
    json::Json,
    letters::{self, Event},
    limits::{LOGINS, LOGINS_PER_ADDRESS, LOGINS_PER_PLACE, REFRESHES},
    page::{self, PageView},
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// The operations on sessions.
pub(crate) struct Sessions;

#[OpenApi(tag = "Tag::Accounts")]
impl Sessions {
    /// Signs in with an address and a password.
    ///
    /// The answer holds an access token for the next ten minutes, and a refresh token that is exchanged
    /// for the next pair. A wrong password and an unknown address are answered alike. Who has a second factor is
    /// asked for a code once the password was right: send all three then.
    #[oai(path = "/v1/login", method = "post", operation_id = "login")]
    async fn login(
        &self,
        app: Data<&App>,
        _public: Public,
        place: Place,
        context: RequestContext,
        body: Body<Login>,
    ) -> Result<SignedIn, Problem> {
        let address = words::parse(&body.value.address)?;
        let key = users::key(&address);
        app.admit(LOGINS_PER_PLACE, &place.key()).await?;
        app.admit(LOGINS, &format!("{key}|{}", place.key())).await?;
        app.admit(LOGINS_PER_ADDRESS, &key).await?;
        let password = body.value.password.expose();
        let known = credentials::find_by_address(&mut app.conn().await?, &address).await?;
        let (user, hash) = known.map_or((None, None), |known| (Some(known.user), known.hash));
        let right = app.passwords.verify(password, hash.clone()).await?;
        let Some(user) = user.filter(|_| right) else {
            return Err(failed(&app, &place, &context).await?);
        };
        if user.suspended_at.is_some() {
            let code = &codes::ACCOUNT_SUSPENDED;
            return Err(Problem::new(code, code.meaning));
        }
        let outdated = hash.filter(|hash| models::passwords::is_outdated(hash));
        let better = match &outdated {
            Some(_) => Some(app.passwords.hash(password).await?),
            None => None,
        };
        let code = body.value.code.as_ref();
        if code.is_some() {
            second_factors::admit_code(&app, &user).await?;
        }
        let (mut tx, now) = (app.begin().await?, app.db.now());
        // A password that was replaced while it was looked at is not the right one any more.
        if !users::hold_as_read(&mut tx, &user).await? {
            return Err(wrong());
        }
        let (mut tx, proof) = second_factors::pass(tx, &user, code, &place, &context, now).await?;
        if let (Some(from), Some(to)) = (outdated, better) {
            credentials::upgrade(&mut tx, user.id, &from, &to).await?;
        }
        let session = sessions::create(&mut tx, user.id, &place.origin(), now).await?;
        let refresh = sessions::issue(&mut tx, session.id, now).await?;
        let deed = deed(user.id, Action::LoggedIn, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        if proof == Some(Proof::Recovery) {
            letters::tell(&app, &user, Event::RecoveryCodeUsed, &place, &context).await;
        }
        Ok(SignedIn::of(&app, &user, &session, refresh, now))
    }

    /// Exchanges a refresh token for the next one, and for an access token.
    ///
    /// Each is good once. One that comes again was copied, so its session ends, whoever sent it.
    #[oai(path = "/v1/refresh", method = "post", operation_id = "refresh")]
    async fn refresh(
        &self,
        app: Data<&App>,
        _public: Public,
        place: Place,
        context: RequestContext,
        body: Body<Refresh>,
    ) -> Result<SignedIn, Problem> {
        app.admit(REFRESHES, &place.key()).await?;
        let token = body.value.refresh_token.expose();
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let refused = || {
            let code = &codes::REFRESH_TOKEN_INVALID;
            Problem::new(code, code.meaning)
        };
        match sessions::refresh(&mut tx, token, now).await? {
            Refreshed::Unknown => Err(refused()),
            Refreshed::Reused(session) => {
                let user = users::get(&mut tx, session.user_id).await?;
                let deed = deed(user.id, Action::TokenReused, &place, &context);
                audit::append(&mut tx, &deed, now).await?;
                tx.commit().await?;
                app.standings.clear();
                letters::tell(&app, &user, Event::TokenReused, &place, &context).await;
                Err(refused())
            }
            Refreshed::Next(session, next) => {
                let user = users::get(&mut tx, session.user_id).await?;
                if user.suspended_at.is_some() {
                    return Err(refused());
                }
                tx.commit().await?;
                Ok(SignedIn::of(&app, &user, &session, next, now))
            }
        }
    }

    /// Ends the session of the token.
    ///
    /// It takes no more than the session itself: whoever acts as somebody else can stop doing so.
    #[oai(path = "/v1/logout", method = "post", operation_id = "logout")]
    async fn logout(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadProfile as u8 }>,
        place: Place,
        context: RequestContext,
    ) -> Result<Ended, Problem> {
        let session = caller.session()?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        sessions::end(&mut tx, caller.owner, session, End::Logout, now).await?;
        let subject = format!("users/{}", caller.owner);
        let deed = caller.deed(Action::LoggedOut, subject, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        app.standings.clear();
        Ok(Ended::Done)
    }

    /// Lists where the caller is signed in, newest first.
    #[oai(path = "/v1/sessions", method = "get", operation_id = "list_sessions")]
    async fn list_sessions(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadSessions as u8 }>,
        /// Where to go on: `next` of the page before.
        #[oai(validator(pattern = "^0[0-9a-f]{47}$"))]
        cursor: Query<Option<String>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let (cursor, limit) = page::bounds(cursor.as_deref(), limit.0)?;
        let (mut conn, now) = (app.conn().await?, app.db.now());
        let page = sessions::list(&mut conn, caller.owner, cursor, limit, now).await?;
        let view = |session| SessionView::of(session, caller);
        Ok(Listed::Ok(Json::new(PageView::of(page, view))))
    }

    /// Ends one of the caller's sessions.
    #[oai(
        path = "/v1/sessions/:id",
        method = "delete",
        operation_id = "end_session"
    )]
    async fn end_session(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::EndSessions as u8 }>,
        place: Place,
        context: RequestContext,
        /// The id of the session.
        id: Path<Uuid>,
    ) -> Result<Ended, Problem> {
        let (mut tx, now) = (app.begin().await?, app.db.now());
        sessions::end(&mut tx, caller.owner, id.0.into(), End::Logout, now).await?;
        let subject = format!("sessions/{}", id.0);
        let deed = caller.deed(Action::LoggedOut, subject, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        app.standings.clear();
        Ok(Ended::Done)
    }

    /// Signs out everywhere: every token of the caller is void at once.
    #[oai(
        path = "/v1/sessions",
        method = "delete",
        operation_id = "end_sessions"
    )]
    async fn end_sessions(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::EndSessions as u8 }>,
        place: Place,
        context: RequestContext,
    ) -> Result<Ended, Problem> {
        let (mut tx, now) = (app.begin().await?, app.db.now());
        // Before the sessions: one that begins meanwhile ends with them, or does not begin.
        users::renew(&mut tx, caller.owner, now).await?;
        sessions::end_all(&mut tx, caller.owner, End::Everywhere, now).await?;
        let subject = format!("users/{}", caller.owner);
        let deed = caller.deed(Action::LoggedOut, subject, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        app.standings.clear();
        Ok(Ended::Done)
    }
}

/// What an account did, as it is written down.
pub(super) fn deed(user: OwnerId, action: Action, place: &Place, context: &RequestContext) -> Deed {
    Deed {
        actor: Some(user),
        impersonator: None,
        action,
        subject: format!("users/{user}"),
        place: place.address.clone(),
        request_id: Some(context.request_id.clone()),
    }
}

/// Writes a login down that failed, whether there is such an account or not: the same work for both.
async fn failed(app: &App, place: &Place, context: &RequestContext) -> Result<Problem, Problem> {
    let (mut tx, now) = (app.begin().await?, app.db.now());
    let deed = Deed {
        actor: None,
        impersonator: None,
        action: Action::LoginFailed,
        subject: String::new(),
        place: place.address.clone(),
        request_id: Some(context.request_id.clone()),
    };
    audit::append(&mut tx, &deed, now).await?;
    tx.commit().await?;
    Ok(wrong())
}

/// One answer for an address that nobody has and a password that is not the right one.
pub(super) fn wrong() -> Problem {
    let code = &codes::CREDENTIALS_INVALID;
    Problem::new(code, code.meaning)
}

/// What somebody signs in with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Login {
    /// The address of the account.
    #[schemars(schema_with = "words::mail_address")]
    address: String,
    /// Its password.
    #[schemars(schema_with = "words::known_password")]
    password: Password,
    /// A code of its app or a recovery code, when it has a second factor.
    #[serde(default)]
    #[schemars(schema_with = "words::optional_code")]
    code: Option<Token>,
}

/// What a session goes on with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refresh {
    /// The refresh token of the last answer.
    #[schemars(schema_with = "words::secret")]
    refresh_token: Token,
}

#[derive(ApiResponse)]
enum SignedIn {
    /// The tokens of the session.
    #[oai(status = 200)]
    Ok(Json<Tokens>),
}

impl SignedIn {
    fn of(
        app: &App,
        user: &User,
        session: &Session,
        refresh_token: String,
        now: DateTime<Utc>,
    ) -> Self {
        Self::Ok(Json::new(Tokens {
            access_token: app
                .keys
                .sign(user.id, session.id, user.epoch, now, LIFETIME),
            token_type: "Bearer",
            expires_in: LIFETIME.num_seconds(),
            refresh_token,
            refresh_expires_at: session.expires_at,
            session_id: session.id.to_string(),
            user_id: user.id.to_string(),
        }))
    }
}

/// The tokens of a session.
#[derive(Serialize, JsonSchema)]
struct Tokens {
    /// To be sent as `Authorization: Bearer TOKEN`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long the access token is good, in seconds.
    expires_in: i64,
    /// Good once, for the next pair of tokens.
    refresh_token: String,
    /// How long the session lasts unless it is refreshed.
    refresh_expires_at: DateTime<Utc>,
    /// The id of the session.
    session_id: String,
    /// The id of the account.
    user_id: String,
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of sessions.
    #[oai(status = 200)]
    Ok(Json<PageView<SessionView>>),
}

#[derive(ApiResponse)]
enum Ended {
    /// It is over.
    #[oai(status = 204)]
    Done,
}

/// Where somebody is signed in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct SessionView {
    /// Its id.
    id: String,
    /// Whether it is the one of this request.
    current: bool,
    /// The address of the network where it began.
    place: String,
    /// What the program calls itself.
    agent: String,
    /// When it began.
    created_at: DateTime<Utc>,
    /// When it was last refreshed.
    used_at: DateTime<Utc>,
    /// When it ends by itself.
    expires_at: DateTime<Utc>,
}

impl SessionView {
    fn of(session: Session, caller: Caller) -> Self {
        Self {
            id: session.id.to_string(),
            current: caller.session == Some(session.id),
            place: session.place,
            agent: session.agent,
            created_at: session.created_at,
            used_at: session.used_at,
            expires_at: session.expires_at,
        }
    }
}
