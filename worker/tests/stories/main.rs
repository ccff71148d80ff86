//! Stories about the worker: a real database, a real runner, and a model that answers by a script.

mod crash;
mod email;
mod fair;
mod pictures;
mod pipeline;
mod runner;
mod scripted;
mod sendgrid;
mod support;
mod told;
