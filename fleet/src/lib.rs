//! One process of a fleet: where the database and Redis are, the relay, the probe, and how it ends.
//!
//! `lyo api` and `lyo worker` are this and their own part. Every process runs a relay: whatever one of
//! them does the others find done, so there is no leader to lose.

pub mod check;
pub mod config;
pub mod probe;
mod process;
mod pulse;
pub mod signal;

pub use config::FleetArgs;
pub use process::{Process, Role};
