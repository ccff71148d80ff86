//! Accounts, for those who look after them.

use chrono::{DateTime, Utc};
use models::{
    OwnerId, audit,
    audit::Action,
    roles::{Permissions, Role},
    sessions::{self, End, IMPERSONATION, Origin},
    users::{self, Filter, User},
};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    app::App,
    body::Body,
    caller::{Caller, May, Permission},
    codes,
    json::Json,
    page::{self, PageView},
    place::Place,
    problem::Problem,
    request::RequestContext,
    routes::Tag,
};

/// The operations on everybody's accounts.
pub(crate) struct Users;

#[OpenApi(tag = "Tag::Admin")]
impl Users {
    /// Lists accounts, newest first; with parameters, those that fit.
    #[oai(path = "/v1/admin/users", method = "get", operation_id = "list_users")]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a parameter of the query"
    )]
    async fn list_users(
        &self,
        app: Data<&App>,
        _may: May<{ Permission::ReadUsers as u8 }>,
        /// The address or the name contains this, whatever the case.
        #[oai(validator(min_length = 1, max_length = 100))]
        text: Query<Option<String>>,
        /// Only those that are this.
        #[oai(validator(pattern = "^(guest|learner|author|moderator|operator|admin)$"))]
        role: Query<Option<String>>,
        /// Only those that are suspended, or are not.
        suspended: Query<Option<bool>>,
        /// Where to go on: `next` of the page before.
        #[oai(validator(pattern = "^0[0-9a-f]{47}$"))]
        cursor: Query<Option<String>>,
        /// How many, at most 100; 20 unless told.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<u32>>,
    ) -> Result<Listed, Problem> {
        let (cursor, limit) = page::bounds(cursor.as_deref(), limit.0)?;
        let role = role.0.map(|word| word.parse::<Role>()).transpose();
        let filter = Filter {
            text: text.0,
            role: role.map_err(|_| Problem::parameter("role", "is not a role"))?,
            suspended: suspended.0,
        };
        let page = users::list(&mut app.conn().await?, &filter, cursor, limit).await?;
        Ok(Listed::Ok(Json::new(PageView::of(page, UserView::from))))
    }

    /// Reads an account.
    #[oai(
        path = "/v1/admin/users/:id",
        method = "get",
        operation_id = "get_user"
    )]
    async fn get_user(
        &self,
        app: Data<&App>,
        _may: May<{ Permission::ReadUsers as u8 }>,
        /// The id of the account.
        id: Path<Uuid>,
    ) -> Result<Known, Problem> {
        let user = users::get(&mut app.conn().await?, id.0.into()).await?;
        Ok(Known::Ok(Json::new(user.into())))
    }

    /// Suspends an account: its tokens are void, and nobody can sign in.
    #[oai(
        path = "/v1/admin/users/:id/suspend",
        method = "post",
        operation_id = "suspend_user"
    )]
    async fn suspend_user(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SuspendUsers as u8 }>,
        place: Place,
        context: RequestContext,
        /// The id of the account.
        id: Path<Uuid>,
    ) -> Result<Known, Problem> {
        set_suspended(&app, caller, id.0.into(), true, (place, context)).await
    }

    /// Restores an account that was suspended.
    #[oai(
        path = "/v1/admin/users/:id/restore",
        method = "post",
        operation_id = "restore_user"
    )]
    async fn restore_user(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::SuspendUsers as u8 }>,
        place: Place,
        context: RequestContext,
        /// The id of the account.
        id: Path<Uuid>,
    ) -> Result<Known, Problem> {
        set_suspended(&app, caller, id.0.into(), false, (place, context)).await
    }

    /// Gives an account a role in place of the one it has.
    ///
    /// Whoever may do less from now on has to sign in again.
    #[oai(
        path = "/v1/admin/users/:id/role",
        method = "put",
        operation_id = "grant_role"
    )]
    async fn grant_role(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::GrantRoles as u8 }>,
        place: Place,
        context: RequestContext,
        /// The id of the account.
        id: Path<Uuid>,
        body: Body<Grant>,
    ) -> Result<Known, Problem> {
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let before = users::hold(&mut tx, id.0.into()).await?;
        outranks(caller, &before)?;
        let user = users::grant(&mut tx, before.id, body.value.role, now).await?;
        let lost = Permissions::of(before.role).without(Permissions::of(user.role));
        if lost != Permissions::NONE {
            sessions::end_all(&mut tx, user.id, End::Suspension, now).await?;
        }
        let subject = format!("{}/role/{}", subject(user.id), user.role);
        let deed = caller.deed(Action::RoleGranted, subject, &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        app.standings.clear();
        Ok(Known::Ok(Json::new(user.into())))
    }

    /// Begins to act as somebody else, for half an hour. It is written down.
    ///
    /// What decides over the account itself stays with its owner.
    #[oai(
        path = "/v1/admin/users/:id/impersonate",
        method = "post",
        operation_id = "impersonate_user"
    )]
    async fn impersonate_user(
        &self,
        app: Data<&App>,
        May(caller): May<{ Permission::Impersonate as u8 }>,
        place: Place,
        context: RequestContext,
        /// The id of the account.
        id: Path<Uuid>,
    ) -> Result<Borrowed, Problem> {
        caller.session()?;
        let (mut tx, now) = (app.begin().await?, app.db.now());
        let user = users::hold(&mut tx, id.0.into()).await?;
        outranks(caller, &user)?;
        let origin = Origin {
            impersonator: Some(caller.owner),
            ..place.origin()
        };
        let session = sessions::create(&mut tx, user.id, &origin, now).await?;
        let deed = caller.deed(Action::Impersonated, subject(user.id), &place, &context);
        audit::append(&mut tx, &deed, now).await?;
        tx.commit().await?;
        let token = app
            .keys
            .sign(user.id, session.id, user.epoch, now, IMPERSONATION);
        Ok(Borrowed::Ok(Json::new(Loan {
            access_token: token,
            token_type: "Bearer",
            expires_in: IMPERSONATION.num_seconds(),
        })))
    }
}

/// Nobody locks themselves out, and nobody decides over somebody who may do more. The scopes of a key
/// do not matter: whom it may decide over is what its account may.
fn outranks(caller: Caller, user: &User) -> Result<(), Problem> {
    let more = Permissions::of(user.role).without(Permissions::of(caller.role));
    if caller.owner == user.id || more != Permissions::NONE {
        let code = &codes::NOT_OVER_THEM;
        return Err(Problem::new(code, code.meaning));
    }
    Ok(())
}

fn subject(id: OwnerId) -> String {
    format!("users/{id}")
}

/// A role to give.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Grant {
    /// What the account shall be.
    #[schemars(with = "RoleWord")]
    role: Role,
}

/// What an account is.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Role")]
#[expect(dead_code, reason = "describes the words of `models` to clients")]
enum RoleWord {
    /// May look after its own account and nothing else.
    Guest,
    /// Reads courses.
    Learner,
    /// Has courses written.
    Author,
    /// Looks after what authors make and who they are.
    Moderator,
    /// Keeps the system running.
    Operator,
    /// May do everything.
    Admin,
}

async fn set_suspended(
    app: &App,
    caller: Caller,
    id: OwnerId,
    suspended: bool,
    (place, context): (Place, RequestContext),
) -> Result<Known, Problem> {
    let (mut tx, now) = (app.begin().await?, app.db.now());
    let user = users::hold(&mut tx, id).await?;
    outranks(caller, &user)?;
    let user = users::suspend(&mut tx, user.id, suspended, now).await?;
    let action = if suspended {
        sessions::end_all(&mut tx, user.id, End::Suspension, now).await?;
        Action::Suspended
    } else {
        Action::Restored
    };
    let deed = caller.deed(action, subject(user.id), &place, &context);
    audit::append(&mut tx, &deed, now).await?;
    tx.commit().await?;
    app.standings.clear();
    Ok(Known::Ok(Json::new(user.into())))
}

#[derive(ApiResponse)]
enum Listed {
    /// A page of accounts.
    #[oai(status = 200)]
    Ok(Json<PageView<UserView>>),
}

#[derive(ApiResponse)]
enum Known {
    /// The account as it is now.
    #[oai(status = 200)]
    Ok(Json<UserView>),
}

#[derive(ApiResponse)]
enum Borrowed {
    /// A token for the account.
    #[oai(status = 201)]
    Ok(Json<Loan>),
}

/// A token for somebody else's account. It cannot be refreshed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BorrowedToken")]
struct Loan {
    /// To be sent as `Authorization: Bearer TOKEN`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// How long it is good, in seconds.
    expires_in: i64,
}

/// An account, for those who look after it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
struct UserView {
    /// Its id.
    id: String,
    /// Where it is written to.
    address: String,
    /// How the person is called.
    name: String,
    /// The language to write in.
    language: String,
    /// What the account is.
    #[schemars(with = "RoleWord")]
    role: Role,
    /// Since when it may do nothing.
    suspended_at: Option<DateTime<Utc>>,
    /// Since when there is this account.
    created_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            address: user.address.as_str().to_owned(),
            name: user.name,
            language: user.language,
            role: user.role,
            suspended_at: user.suspended_at,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}
