//! What surrounds every process of Lyo: configuration, logs and the health of its parts.

pub mod config;
pub mod health;
pub mod metrics;
pub mod telemetry;
