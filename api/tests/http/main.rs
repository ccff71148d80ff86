//! The HTTP contract, asked of the built endpoint on both databases, and of real sockets where
//! these matter. One program, so that it is linked once.

mod accounts;
mod admin;
mod contact;
mod courses;
mod emails;
mod events;
mod files;
mod harness;
mod headers;
mod idempotency;
mod matrix;
mod matrix_rows;
mod network;
mod openapi;
mod people;
mod presigned;
mod problems;
mod provoke;
mod provoke_files;
// The bucket of the crate that talks to it.
#[path = "../../../platform/tests/storage/s3.rs"]
mod s3;
mod schedules;
mod second_factors;
mod secured;
mod signer;
mod sockets;
mod staff;
mod tasks;
mod thumbnails;
mod tokens;
mod uploads;
mod webhooks;
mod ws;
