//! Who is calling, and whether they may.
//!
//! An operation takes a [`May`] of the permission that it needs, or says that it is [`Public`]: one of
//! the two is part of its signature, so that the specification and the tests know it.

use models::{
    OwnerId, SessionId, api_keys,
    audit::{Action, Deed},
    roles::{Permissions, Role},
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
    request::RequestContext,
};

/// What the specification calls an operation that everybody may call.
pub(crate) const PUBLIC: &str = "public";

/// Keys end when they are revoked, so nothing else bounds how long one is remembered.
const KEPT_SECONDS: u64 = 60;

/// The authenticated caller of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Whose rows the request sees and makes.
    pub(crate) owner: OwnerId,
    /// What the caller may do.
    pub(crate) permissions: Permissions,
    /// The session of the token, when it belongs to one.
    pub(crate) session: Option<SessionId>,
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
        let own = [Permission::SendEmails, Permission::ReadMetrics];
        let permissions = match operators {
            Operators::Everybody => Permissions::of(Role::Admin),
            _ => own
                .into_iter()
                .fold(Permissions::of(Role::Author), Permissions::with),
        };
        Self {
            owner: OwnerId::LOCAL,
            permissions,
            session: None,
            impersonator: None,
        }
    }

    /// Whoever has the operator token: a program, mostly, and no person.
    fn operator() -> Self {
        Self {
            owner: OwnerId::LOCAL,
            permissions: Permissions::of(Role::Operator),
            session: None,
            impersonator: None,
        }
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
    if let Some(caller) = app.standings.find(&digest) {
        return Ok(caller);
    }
    if token.starts_with(api_keys::PREFIX) {
        let caller = by_key(app, token).await?.ok_or_else(invalid)?;
        app.standings.keep(digest, caller, KEPT_SECONDS);
        return Ok(caller);
    }
    let now = app.db.now();
    let claims = app
        .keys
        .read(token, now)
        .map_err(|refused| refusal(Some(refused)))?;
    let mut conn = app.conn().await?;
    let standing = models::sessions::standing(&mut conn, claims.sub, claims.sid, now).await?;
    let standing = standing
        .filter(|standing| standing.epoch == claims.epoch)
        .ok_or_else(invalid)?;
    let mut permissions = Permissions::of(standing.role);
    if standing.impersonator_id.is_some() {
        // What decides over the account itself stays with its owner.
        permissions = permissions.and(Permissions::for_machines());
    }
    let caller = Caller {
        owner: claims.sub,
        permissions,
        session: Some(claims.sid),
        impersonator: standing.impersonator_id,
    };
    let left = (claims.exp - now.timestamp()).try_into().unwrap_or(0);
    app.standings.keep(digest, caller, left);
    Ok(caller)
}

/// Whose key it is. When it was used is written down beside the request.
async fn by_key(app: &App, secret: &str) -> Result<Option<Caller>, Problem> {
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
    Ok(Some(Caller {
        owner: standing.user_id,
        permissions: standing.permissions(),
        session: None,
        impersonator: None,
    }))
}

fn refusal(refused: Option<Refused>) -> Problem {
    let code = match refused {
        None => &codes::TOKEN_REQUIRED,
        Some(Refused::Invalid) => &codes::TOKEN_INVALID,
        Some(Refused::Expired) => &codes::TOKEN_EXPIRED,
    };
    Problem::new(code, code.meaning)
}
