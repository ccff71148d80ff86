//! What surrounds every process of Lyo: configuration, logs, the health of its parts and stored
//! bytes.

pub mod config;
pub mod health;
pub mod metrics;
pub mod storage;
pub mod telemetry;
