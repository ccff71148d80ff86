//! What surrounds Lyo: configuration pieces, telemetry and health.
