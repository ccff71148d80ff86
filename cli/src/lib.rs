//! The `lyo` command: the only place where the API and the worker meet.
//!
//! It is a library too, so that tests run the very system that `lyo dev` runs.

mod args;
mod audit;
#[cfg(unix)]
mod chaos;
mod client;
pub mod config;
mod course;
mod dev;
mod display;
mod email;
pub mod embedded;
mod files;
mod keys;
mod lock;
mod migrate;
mod model;
mod outline;
mod server;
mod summary;
mod thumbnail;
mod user;

pub use args::run;
