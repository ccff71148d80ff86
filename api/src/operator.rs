//! Who operates the system without an account: whoever knows a token, or whoever is on the machine.

use clap::Args;
use platform::config::Secret;
use sha2::{Digest, Sha256};

/// Who may operate the system, besides accounts with that role.
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
