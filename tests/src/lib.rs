//! The platform as a client sees it: a real system on a database of its own, spoken to over HTTP.

pub mod app;
pub mod architecture;
pub mod canaries;
pub mod fleet;
pub mod smtp;
pub mod sse;
pub mod ws;
