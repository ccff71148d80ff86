//! Who may operate the system: pause queues, look at everybody's tasks, cancel and retry in bulk.

use clap::Args;
use platform::config::Secret;
use poem::{FromRequest, Request, RequestBody};
use sha2::{Digest, Sha256};

use crate::{app::App, codes, problem::Problem, request::text};

/// Who may operate the system, until there are accounts.
#[derive(Clone, Debug, Default)]
pub enum Operators {
    /// Nobody: no token was set. Where others can reach the API, this is the default.
    #[default]
    Nobody,
    /// Everybody who reaches the API: for a system of one person on one machine.
    Everybody,
    /// Whoever sends the token with this SHA-256 in `Authorization: Bearer TOKEN`.
    Bearer([u8; 32]),
}

/// Who may operate the system, as the environment says.
#[derive(Clone, Debug, Default, Args)]
pub struct OperatorArgs {
    /// Who sends this as `Authorization: Bearer TOKEN` may operate the system: pause queues, cancel
    /// and retry in bulk [default: with `lyo dev` everybody who reaches this machine's own address,
    /// with `lyo api` nobody]
    #[arg(
        long,
        help_heading = "Server",
        value_name = "TOKEN",
        env = "LYO_OPERATOR_TOKEN",
        hide_env_values = true
    )]
    operator_token: Option<Secret>,
}

impl OperatorArgs {
    /// Whoever sends the token, or those given here when there is none.
    pub fn operators(&self, otherwise: Operators) -> Operators {
        match &self.operator_token {
            Some(token) => Operators::bearer(token.expose()),
            None => otherwise,
        }
    }
}

impl Operators {
    /// Whoever sends this token.
    pub fn bearer(token: &str) -> Self {
        Self::Bearer(Sha256::digest(token).into())
    }
}

/// A request of an operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator;

impl<'a> FromRequest<'a> for Operator {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let operators = request.data::<App>().map(|app| &app.operators);
        let refused = match operators {
            Some(Operators::Everybody) => return Ok(Self),
            Some(Operators::Bearer(digest)) if sends(request, digest) => return Ok(Self),
            Some(Operators::Bearer(_)) => &codes::OPERATOR_TOKEN_REQUIRED,
            Some(Operators::Nobody) | None => &codes::NO_OPERATOR,
        };
        Err(Problem::new(refused, refused.meaning).into())
    }
}

/// Digests are compared: how long that takes says nothing about the token.
fn sends(request: &Request, digest: &[u8; 32]) -> bool {
    let header = text(request.headers(), "authorization").and_then(|value| value.split_once(' '));
    header.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && *digest == <[u8; 32]>::from(Sha256::digest(token))
    })
}
