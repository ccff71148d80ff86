//! `lyo chaos`: break a private fleet at random, and prove that nothing was lost.
//!
//! The experiment starts PostgreSQL, Redis, APIs and workers of its own as child processes, drives
//! load over HTTP, injects the faults of a plan that follows from a seed, and keeps a history. The
//! checker compares the history with the rows; the report says how long recovery took.

mod args;
mod cancels;
mod checker;
mod client;
mod courses;
mod driver;
mod duplicates;
mod experiment;
mod faults;
mod figures;
mod fleet;
mod history;
mod injector;
mod outages;
mod plan;
mod process;
mod program;
mod recovery;
mod rows;
mod run;
mod servers;
mod watcher;

pub(crate) use args::ChaosArgs;
pub(crate) use run::run;
