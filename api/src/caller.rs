//! Who is calling, and whether they may.
//!
//! An operation takes a [`May`] of the permission that it needs, or says that it is [`Public`]: one of
//! the two is part of its signature, so that the specification and the tests know it.

use chrono::{DateTime, Utc};
use models::{
    Conn, OwnerId, SessionId, api_keys,
    audit::{Action, Deed},
    id::ApiKeyId,
    roles::{Permissions, Role},
    sessions,
};
use poem::{
    Request, RequestBody,
    http::{HeaderMap, header::AUTHORIZATION},
};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use sha2::{Digest as _, Sha256};

pub(crate) use models::roles::Permission;

use crate::{
    access::Refused, app::App, codes, operator::Operators, place::Place, problem::Problem,
    request::RequestContext, standings::Generation,
};

/// What the specification calls an operation that everybody may call.
pub(crate) const PUBLIC: &str = "public";

/// The authenticated caller of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Whose rows the request sees and makes.
    pub(crate) owner: OwnerId,
    /// What the account is; the token may be good for less.
    pub(crate) role: Role,
    /// What the caller may do.
    pub(crate) permissions: Permissions,
    /// The session of the token, when it belongs to one.
    pub(crate) session: Option<SessionId>,
    /// The epoch of the account, when there is a session.
    epoch: i64,
    /// The key of a machine, when it is one.
    key: Option<ApiKeyId>,
    /// Who is behind the session, when it is not the owner.
    pub(crate) impersonator: Option<OwnerId>,
}

/// A caller who has the permission number `P`: `May<{ Permission::ReadTasks as u8 }>`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct May<const P: u8>(pub(crate) Caller);

impl<const P: u8> May<P> {
    const PERMISSION: Permission = Permission::ALL[P as usize];
}

impl<'a, const P: u8> ApiExtractor<'a> for May<P> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    /// The framework has no place for permissions: `openapi` moves the name to its own.
    fn security_schemes() -> Vec<&'static str> {
        vec![Self::PERMISSION.as_str()]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(admit(request, Self::PERMISSION).await?))
    }
}

/// The caller of a request, who has the permission.
pub(crate) async fn admit(request: &Request, permission: Permission) -> Result<Caller, Problem> {
    let app = request.data::<App>();
    let app = app.ok_or_else(|| Problem::internal("a request without an application"))?;
    let caller = identify(app, request.headers()).await?;
    spend(app, request, &caller).await?;
    if caller.permissions.has(permission) {
        return Ok(caller);
    }
    let detail = format!("This takes the permission `{permission}`.");
    Err(Problem::new(&codes::PERMISSION_MISSING, detail))
}

/// Takes one request from the caller's budget, and notes for the answer what is left. Whoever has the
/// machine to themselves has no budget: nobody else would get what they do not use.
async fn spend(app: &App, request: &Request, caller: &Caller) -> Result<(), Problem> {
    if app.open && !request.headers().contains_key(AUTHORIZATION) {
        return Ok(());
    }
    let policy = app.network.policy(request.method().is_safe());
    let left = app.admit(policy, &caller.owner.to_string()).await?;
    if let Some(context) = request.data::<RequestContext>() {
        // It is set once: a request has one caller.
        let _ = context.budget.set((policy, left));
    }
    Ok(())
}

/// Says that everybody may call an operation, whoever they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Public;

impl<'a> ApiExtractor<'a> for Public {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn security_schemes() -> Vec<&'static str> {
        vec![PUBLIC]
    }

    async fn from_request(
        _request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self)
    }
}

impl Caller {
    /// Whoever uses this machine alone: an author whose system it is.
    pub(crate) fn local(operators: &Operators) -> Self {
        if matches!(operators, Operators::Everybody) {
            return Self::of_machine(Role::Admin);
        }
        let author = Self::of_machine(Role::Author);
        let own = [Permission::SendEmails, Permission::ReadMetrics];
        Self {
            permissions: own.into_iter().fold(author.permissions, Permissions::with),
            ..author
        }
    }

    /// Whoever has the operator token: a program, mostly, and no person.
    fn operator() -> Self {
        Self::of_machine(Role::Operator)
    }

    /// Somebody without an account, who is what they are as long as this process runs.
    fn of_machine(role: Role) -> Self {
        Self {
            owner: OwnerId::LOCAL,
            role,
            permissions: Permissions::of(role),
            session: None,
            epoch: 0,
            key: None,
            impersonator: None,
        }
    }

    /// Whose session it is, unless it has ended or is of another epoch.
    async fn of_session(
        conn: &mut Conn,
        owner: OwnerId,
        session: SessionId,
        epoch: i64,
        now: DateTime<Utc>,
    ) -> Result<Option<Self>, Problem> {
        let standing = sessions::standing(conn, owner, session, now).await?;
        let Some(standing) = standing.filter(|standing| standing.epoch == epoch) else {
            return Ok(None);
        };
        let mut permissions = Permissions::of(standing.role);
        if standing.impersonator_id.is_some() {
            // What decides over the account itself stays with its owner.
            permissions = permissions.and(Permissions::for_machines());
        }
        Ok(Some(Self {
            owner,
            role: standing.role,
            permissions,
            session: Some(session),
            epoch,
            key: None,
            impersonator: standing.impersonator_id,
        }))
    }

    fn of_key(standing: &api_keys::Standing) -> Self {
        Self {
            owner: standing.user_id,
            role: standing.role,
            permissions: standing.permissions(),
            session: None,
            epoch: 0,
            key: Some(standing.id),
            impersonator: None,
        }
    }

    /// Whether the caller may still do this: to be asked now and then by what outlasts a request.
    pub(crate) async fn still(&self, app: &App, permission: Permission) -> Result<bool, Problem> {
        let now = app.db.now();
        let caller = match (self.session, self.key) {
            (Some(session), _) => {
                let mut conn = app.conn().await?;
                Self::of_session(&mut conn, self.owner, session, self.epoch, now).await?
            }
            (None, Some(key)) => {
                let standing = api_keys::standing_of(&mut app.conn().await?, key, now).await?;
                standing.as_ref().map(Self::of_key)
            }
            (None, None) => Some(*self),
        };
        Ok(caller.is_some_and(|caller| caller.permissions.has(permission)))
    }

    /// What the caller does, as it is written down.
    pub(crate) fn deed(
        &self,
        action: Action,
        subject: String,
        place: &Place,
        context: &RequestContext,
    ) -> Deed {
        Deed {
            actor: Some(self.owner),
            impersonator: self.impersonator,
            action,
            subject,
            place: place.address.clone(),
            request_id: Some(context.request_id.clone()),
        }
    }

    /// The session that the token belongs to.
    pub(crate) fn session(&self) -> Result<SessionId, Problem> {
        self.session.ok_or_else(|| {
            let code = &codes::SESSION_REQUIRED;
            Problem::new(code, code.meaning)
        })
    }
}

/// Finds out who calls. A token that is wrong is never taken for none.
async fn identify(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let header = match (sent.next(), sent.next()) {
        (None, _) if app.open => return Ok(Caller::local(&app.operators)),
        (None, _) => return Err(refusal(None)),
        (Some(header), None) => header.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    let invalid = || refusal(Some(Refused::Invalid));
    let (scheme, token) = header
        .and_then(|header| header.split_once(' '))
        .ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(invalid());
    }
    let digest: [u8; 32] = Sha256::digest(token).into();
    // Digests are compared: how long that takes says nothing about the token.
    if matches!(&app.operators, Operators::Bearer(operator) if *operator == digest) {
        return Ok(Caller::operator());
    }
    match app.standings.find(&digest) {
        Ok(caller) => Ok(caller),
        // Apart, since most requests do without: what it needs would be part of every one.
        Err(asked) => Box::pin(recognise(app, token, digest, asked)).await,
    }
}

/// Finds out whose token it is, and remembers it.
async fn recognise(
    app: &App,
    token: &str,
    digest: [u8; 32],
    asked: Generation,
) -> Result<Caller, Problem> {
    let invalid = || refusal(Some(Refused::Invalid));
    if token.starts_with(api_keys::PREFIX) {
        let (caller, left) = by_key(app, token).await?.ok_or_else(invalid)?;
        app.standings.keep(asked, digest, caller, left);
        return Ok(caller);
    }
    let now = app.db.now();
    let claims = app
        .keys
        .read(token, now)
        .map_err(|refused| refusal(Some(refused)))?;
    let mut conn = app.conn().await?;
    let caller = Caller::of_session(&mut conn, claims.sub, claims.sid, claims.epoch, now).await?;
    let caller = caller.ok_or_else(invalid)?;
    let left = (claims.exp - now.timestamp()).try_into().unwrap_or(0);
    app.standings.keep(asked, digest, caller, left);
    Ok(caller)
}

/// Whose key it is, and for how many seconds more. When it was used is written down beside the request.
async fn by_key(app: &App, secret: &str) -> Result<Option<(Caller, u64)>, Problem> {
    let now = app.db.now();
    let standing = api_keys::standing(&mut app.conn().await?, secret, now).await?;
    let Some(standing) = standing else {
        return Ok(None);
    };
    if standing.is_unused_lately(now) {
        let (db, id) = (app.db.clone(), standing.id);
        tokio::spawn(async move {
            let mut tx = db.begin().await?;
            api_keys::touch(&mut tx, id, now).await?;
            tx.commit().await
        });
    }
    let left = standing.expires_at.map_or(u64::MAX, |end| {
        (end - now).num_seconds().try_into().unwrap_or(0)
    });
    Ok(Some((Caller::of_key(&standing), left)))
}

fn refusal(refused: Option<Refused>) -> Problem {
    let code = match refused {
        None => &codes::TOKEN_REQUIRED,
        Some(Refused::Invalid) => &codes::TOKEN_INVALID,
        Some(Refused::Expired) => &codes::TOKEN_EXPIRED,
    };
    Problem::new(code, code.meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    /// A request's future is moved a few times before it runs: with all that is needed rarely in it, that
    /// was a tenth of the cost of a poll.
    #[test]
    fn what_every_request_waits_for_is_small() {
        let admit = bytes(|(of, permission): (&'static Request, _)| admit(of, permission));
        let glance = bytes(|(app, caller, id): (&'static App, _, _)| app.glance(caller, id));

        assert!(admit <= 1_024, "{admit}");
        assert!(glance <= 1_024, "{glance}");
    }
}
