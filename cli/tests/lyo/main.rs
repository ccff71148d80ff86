//! The real `lyo` binary, run as people run it.

mod chaos;
mod course;
mod kill_9;
mod process;
