//! The HTTP contract, asked of the built endpoint on both databases, and of real sockets where
//! these matter. One program, so that it is linked once.

mod accounts;
mod admin;
mod contact;
mod courses;
mod emails;
mod events;
mod harness;
mod headers;
mod idempotency;
mod matrix;
mod openapi;
mod people;
mod problems;
mod provoke;
mod schedules;
mod signer;
mod sockets;
mod staff;
mod tasks;
mod tokens;
mod webhooks;
