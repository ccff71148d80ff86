//! The caller's own account.

use chrono::{DateTime, Utc};
use jobs::store::{self, bulk, bulk::Selection};
use models::{
    Error, OwnerId, address_changes,
    audit::{self, Action},
    contacts, credentials,
    templates::Template,
    users::{self, Preferences, User},
};
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    registrations::CheckMail,
    sessions::{deed, wrong},
    words::{self, Password},
};
use crate::{
    app::App,
    body::Body,
    caller::{Caller, May, Permission},
    json::Json,
    letters::{self, Reader},
    limits::{ADDRESS_MAILS, BULK_MAX, PROOFS},
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// Rounds of cancelling before an account is deleted: a hundred thousand tasks.
const ROUNDS_MAX: usize = 100;

/// The operations on the caller's own account.
pub(crate) struct Me;

#[OpenApi(tag = "Tag::Accounts")]
impl Me {
    /// Reads the caller's own account, and what it may do.
    #[oai(path = "/v1/users/me", method = "get", operation_id = "get_me")]
    async fn get_me(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ReadProfile as u8 }>,
    ) -> Result<Known, Problem> {
        let user = own(&app, caller).await?;
        Ok(Known::Ok(Json::new(Account::of(user, caller))))
    }

    /// Changes how the caller is called, and what the account prefers.
    #[oai(path = "/v1/users/me", method = "put", operation_id = "update_me")]
    async fn update_me(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::WriteProfile as u8 }>,
        body: Body<Profile>,
    ) -> Result<Known, Problem> {
        let user = own(&app, caller).await?;
        let profile = body.value;
        let language = profile.language.as_deref().unwrap_or("en");
        let name = contacts::check(Some(&profile.name), language)?.unwrap_or_default();
        let preferences = profile.preferences.check()?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let user = users::update(&mut tx, user.id, &name, language, &preferences, now).await?;
        tx.commit().await?;
        Ok(Known::Ok(Json::new(Account::of(user, caller))))
    }

    /// Asks to move the account to another mail address.
    ///
    /// Both addresses get a mail, and both have to confirm (`verify`).
    #[oai(
        path = "/v1/users/me/address",
        method = "put",
        operation_id = "change_address"
    )]
    async fn change_address(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::ChangeCredentials as u8 }>,
        context: RequestContext,
        body: Body<AddressChange>,
    ) -> Result<Asked, Problem> {
        caller.session()?;
        let address = words::parse(&body.value.address)?;
        let user = proven(&app, caller, &body.value.password).await?;
        app.admit(ADDRESS_MAILS, &users::key(&address)).await?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if !users::hold_as_read(&mut tx, &user).await? {
            return Err(wrong());
        }
        address_changes::begin(&mut tx, user.id, &address, now).await?;
        let old = Reader::from(&user);
        let new = Reader {
            address: &address,
            ..old
        };
        let template = Template::VerifyEmail;
        let to_new = letters::link(&mut tx, template, new, &context, now).await?;
        let to_old = letters::link(&mut tx, Template::ChangeAddress, old, &context, now).await?;
        tx.commit().await?;
        for task in [to_new, to_old] {
            app.bell.tell(&task, now);
        }
        Ok(Asked::Ok(Json::new(CheckMail { next: "verify" })))
    }

    /// Deletes the account with everything that it has made. It cannot be taken back.
    #[oai(
        path = "/v1/users/me/delete",
        method = "post",
        operation_id = "delete_me"
    )]
    async fn delete_me(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::DeleteAccount as u8 }>,
        place: Place,
        context: RequestContext,
        body: Body<Farewell>,
    ) -> Result<Deleted, Problem> {
        caller.session()?;
        let user = proven(&app, caller, &body.value.password).await?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        if !users::hold_as_read(&mut tx, &user).await? {
            return Err(wrong());
        }
        // First, so that nothing new begins while what runs is cancelled.
        users::retire(&mut tx, user.id, now).await?;
        tx.commit().await?;
        app.standings.clear();
        cancel_all(&app, user.id).await?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        users::delete(&mut tx, user.id, now).await?;
        let deed = deed(user.id, Action::Deleted, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        app.standings.clear();
        Ok(Deleted::Done)
    }
}

/// The caller's account. That of this machine is there once it is asked for.
async fn own(app: &App, caller: Caller) -> Result<User, Problem> {
    if let Some(user) = users::find(&mut app.conn().await?, caller.owner).await? {
        return Ok(user);
    }
    if caller.owner != OwnerId::LOCAL {
        return Err(Error::NotFound("user").into());
    }
    let mut tx = app.begin().await?;
    let user = users::local(&mut tx, app.db.now()).await?;
    tx.commit().await?;
    Ok(user)
}

/// The caller's account, once they have proven again that they are who they are.
pub(super) async fn proven(
    app: &App,
    caller: Caller,
    password: &Password,
) -> Result<User, Problem> {
    // By who they are, which nobody else can use up for them.
    app.admit(PROOFS, &caller.owner.to_string()).await?;
    let mut conn = app.conn().await?;
    let user = users::get(&mut conn, caller.owner).await?;
    let kept = credentials::find(&mut conn, user.id).await?;
    drop(conn);
    if !app.passwords.verify(password.expose(), kept).await? {
        return Err(wrong());
    }
    Ok(user)
}

/// Cancels what still runs for an account, each task in a transaction of its own.
async fn cancel_all(app: &App, owner: OwnerId) -> Result<(), Problem> {
    let selection = Selection {
        owner: Some(owner),
        ..Selection::default()
    };
    for _ in 0..ROUNDS_MAX {
        let ids = bulk::ids(&mut app.conn().await?, &selection, true, BULK_MAX).await?;
        let more = ids.len() >= BULK_MAX as usize;
        for (id, owner) in ids {
            let (mut tx, now) = (app.begin().await?, app.db.now());
            let changed = match store::cancel(&mut tx, owner, id, now).await {
                Ok(changed) => changed,
                Err(Error::Conflict(_) | Error::NotFound(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            tx.commit().await?;
            app.bell.tell_all(&changed, now);
        }
        if !more {
            break;
        }
    }
    Ok(())
}

#[derive(ApiResponse)]
enum Known {
    /// The account.
    #[oai(status = 200)]
    Ok(Json<Account>),
}

#[derive(ApiResponse)]
enum Asked {
    /// Two mails are on their way.
    #[oai(status = 202)]
    Ok(Json<CheckMail>),
}

#[derive(ApiResponse)]
enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Done,
}

/// The caller's own account.
#[derive(Debug, Serialize, JsonSchema)]
struct Account {
    /// Its id.
    id: String,
    /// Where it is written to.
    address: String,
    /// How the person is called.
    name: String,
    /// The language to write in.
    language: String,
    /// What the account is.
    role: &'static str,
    /// What the token of this request may do.
    permissions: Vec<&'static str>,
    /// What the account prefers.
    preferences: PreferencesView,
    /// Who acts as this account, when it is not its owner.
    impersonator_id: Option<String>,
    /// Since when there is this account.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl Account {
    fn of(user: User, caller: Caller) -> Self {
        Self {
            id: user.id.to_string(),
            address: user.address.as_str().to_owned(),
            name: user.name,
            language: user.language,
            role: user.role.as_str(),
            permissions: caller.permissions.words().into_iter().collect(),
            preferences: PreferencesView {
                time_zone: user.preferences.time_zone,
                public: user.preferences.public,
            },
            impersonator_id: caller.impersonator.map(|id| id.to_string()),
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// What an account prefers.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Preferences")]
struct PreferencesView {
    /// The zone in which times are shown.
    time_zone: Option<String>,
    /// Whether others see the name.
    public: bool,
}

/// How the caller wants to be called, and what the account prefers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Profile {
    /// How the person is called.
    #[schemars(schema_with = "words::person")]
    name: String,
    /// The language to write in; English unless told.
    #[serde(default)]
    #[schemars(schema_with = "words::language")]
    language: Option<String>,
    /// What the account prefers.
    preferences: PreferencesUpdate,
}

/// What an account prefers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PreferencesUpdate {
    /// The zone in which times are shown, as the IANA names it.
    #[serde(default)]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = "^[A-Za-z][A-Za-z0-9_+/-]*$")
    )]
    time_zone: Option<String>,
    /// Whether others see the name.
    public: bool,
}

impl PreferencesUpdate {
    fn check(self) -> Result<Preferences, Problem> {
        let named = |zone: &String| {
            zone.len() <= 64
                && zone.starts_with(|c: char| c.is_ascii_alphabetic())
                && zone
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_+/-".contains(&b))
        };
        if !self.time_zone.as_ref().is_none_or(named) {
            let reason = "must be the name of a time zone, such as Europe/Berlin";
            return Err(Problem::field("/preferences/time_zone", "invalid", reason));
        }
        Ok(Preferences {
            time_zone: self.time_zone,
            public: self.public,
        })
    }
}

/// Another mail address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddressChange {
    /// The address that the account shall have.
    #[schemars(schema_with = "words::mail_address")]
    address: String,
    /// The password of the account.
    #[schemars(schema_with = "words::known_password")]
    password: Password,
}

/// The end of an account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Farewell {
    /// The password of the account.
    #[schemars(schema_with = "words::known_password")]
    password: Password,
}
