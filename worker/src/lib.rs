//! The hands of Lyo: runs tasks and writes what came of them.
//!
//! [`run`] takes tasks from the bell and starts them in the database; [`Handle`] does the work of one
//! kind; what came of it is written with the fencing token of the attempt. The course pipeline is in
//! `handlers` (what runs) and `course` (prompts, forms, gates: pure).

mod attempt;
pub mod config;
mod course;
mod ctx;
mod error;
mod handlers;
mod heartbeat;
mod held;
mod loading;
pub mod mailer;
mod model;
mod pace;
mod place;
mod presence;
pub mod role;
mod run;
mod runner;
mod successes;
pub mod sweep;

pub use ctx::Ctx;
pub use error::{JobError, Outcome};
pub use handlers::Handle;
pub use loading::{ModelConfig, Models};
pub use model::{Loaded, Model};
pub use place::Place;
pub use run::Run;
pub use runner::{WorkerConfig, run};
