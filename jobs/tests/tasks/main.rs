//! The tasks table, the bell and the relay, on both databases.

mod again;
mod arrows;
mod bulk;
mod crowd;
mod durations;
mod enqueue;
mod fair;
mod families;
mod find;
mod given_up;
mod grown;
mod history;
mod leases;
mod polls;
mod queues;
mod relay;
mod running;
mod schedules;
mod support;
mod together;
mod workers;
