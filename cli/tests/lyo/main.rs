//! The real `lyo` binary, run as people run it.

mod chaos;
mod course;
mod email;
mod files;
mod kill_9;
mod process;
mod thumbnail;
mod user;
// The fakes of the crates that talk to them.
#[path = "../../../worker/tests/stories/sendgrid.rs"]
mod sendgrid;
#[path = "../../../api/tests/http/signer.rs"]
mod signer;
