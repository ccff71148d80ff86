//! The HTTP face of Lyo: authorise, one or two model calls, enqueue, commit.
//!
//! `routes` has the operations, `edge` what surrounds them, `problem` every error on its way out,
//! `serve` the sockets. Nothing here does slow work: whatever takes time becomes a task.

mod accept;
mod app;
mod body;
mod caller;
pub mod codes;
mod conditional;
mod connections;
mod edge;
mod files;
mod framing;
mod guarded;
mod idempotency;
mod json;
pub mod limits;
mod methods;
mod openapi;
mod operator;
mod origin;
mod outage;
mod page;
mod problem;
mod reads;
mod request;
pub mod role;
mod routes;
mod serve;
mod submissions;

pub use app::{App, build, build_with};
pub use files::Files;
pub use openapi::spec;
pub use operator::{OperatorArgs, Operators};
pub use routes::webhooks::{KeyError, WebhookArgs, WebhookKey};
pub use serve::{ApiConfig, serve};
