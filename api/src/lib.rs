//! The HTTP face of Lyo: authorise, one or two model calls, enqueue, commit.
//!
//! `routes` has the operations, `edge` what surrounds them, `problem` every error on its way out,
//! `serve` the sockets. Nothing here does slow work: whatever takes time becomes a task.

mod accept;
pub mod access;
mod app;
mod body;
mod caller;
pub mod codes;
mod conditional;
mod connections;
mod descriptors;
mod edge;
mod framing;
mod fronts;
mod guarded;
mod idempotency;
mod json;
mod letters;
pub mod limits;
mod methods;
pub mod network;
mod openapi;
mod operator;
mod origin;
mod outage;
mod page;
mod passwords;
mod place;
mod problem;
mod proven;
mod reads;
mod request;
pub mod role;
mod routes;
mod seats;
mod serve;
mod standings;
mod stored_files;
mod submissions;
mod throttle;

pub use access::{IdentityArgs, SigningKeys};
pub use app::{App, build, build_with};
pub use network::{Network, NetworkArgs};
pub use openapi::spec;
pub use operator::{OperatorArgs, Operators};
pub use passwords::PasswordArgs;
pub use routes::webhooks::{KeyError, WebhookArgs, WebhookKey};
pub use seats::Seats;
pub use serve::{ApiConfig, check_address, serve};
pub use stored_files::Files;
