//! The HTTP contract, asked of the built endpoint on both databases, and of real sockets where
//! these matter. One program, so that it is linked once.

mod admin;
mod contact;
mod courses;
mod emails;
mod events;
mod harness;
mod headers;
mod idempotency;
mod openapi;
mod problems;
mod provoke;
mod schedules;
mod signer;
mod sockets;
mod tasks;
mod webhooks;
mod ws;
