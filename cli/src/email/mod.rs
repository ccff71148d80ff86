//! Mail: how it leaves, and how it looks.

mod args;

pub use args::EmailArgs;
