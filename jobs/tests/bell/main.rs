//! The bell between processes, on a Redis that is killed, emptied and stalled.

mod express;
mod fair;
mod faults;
mod rings;
mod support;
mod system;
