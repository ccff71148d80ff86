//! The tasks table, the bell and the relay, on both databases.

mod arrows;
mod families;
mod history;
mod leases;
mod relay;
mod support;
mod table;
