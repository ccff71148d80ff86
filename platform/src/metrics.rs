//! What this process counts and times, in the text that Prometheus reads.
//!
//! The other crates only name what they count, by the macros of `metrics`; without a registry these
//! do nothing.

use std::sync::OnceLock;

use anyhow::Context as _;
use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// From a millisecond, which is a fast answer, to a quarter of an hour, which is a course.
const BUCKETS_SECONDS: [f64; 13] = [
    0.001, 0.005, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 120.0, 300.0, 900.0,
];

const COUNTERS: &[(&str, &str)] = &[
    (
        "http_requests_total",
        "Requests answered, by method and status.",
    ),
    (
        "tasks_total",
        "Tasks ended in this process, by kind and outcome.",
    ),
    (
        "leases_lost_total",
        "Tasks taken back from workers that fell silent.",
    ),
    (
        "rings_repaired_total",
        "Tasks that the relay rang for, by queue.",
    ),
    ("schedules_fired_total", "Tasks enqueued by schedules."),
];
const HISTOGRAMS: &[(&str, &str)] = &[
    (
        "http_request_seconds",
        "Time until an answer begins, by method.",
    ),
    (
        "task_seconds",
        "From the first start of a task to its end, by kind.",
    ),
    (
        "heartbeat_seconds",
        "From the time a heartbeat is due until the leases are renewed.",
    ),
    (
        "task_wait_seconds",
        "From the time a task could start to its start, by queue.",
    ),
];
const GAUGES: &[(&str, &str)] = &[
    ("tasks_waiting", "Tasks that could start now, by queue."),
    (
        "tasks_scheduled",
        "Tasks whose time has not come, by queue.",
    ),
    ("tasks_running", "Tasks in the hands of workers, by queue."),
    (
        "tasks_oldest_seconds",
        "How long the oldest task that could start has waited, by queue.",
    ),
    (
        "tasks_work_seconds",
        "How long one worker would be busy with what is there, by queue.",
    ),
    (
        "eta_judged",
        "Ended tasks whose estimate could be judged, by kind.",
    ),
    (
        "eta_within_p50",
        "Those of them that took no longer than the median estimate, by kind.",
    ),
    (
        "eta_within_p90",
        "Those of them that took no longer than the p90 estimate, by kind.",
    ),
    ("workers", "Workers that live."),
    (
        "db_connections",
        "Connections of this process to the database, by state.",
    ),
    ("db_up", "Whether the database answered the last look."),
];

static REGISTRY: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts to count; again changes nothing.
///
/// # Errors
/// When something else in the process counts already.
pub fn install() -> anyhow::Result<()> {
    if REGISTRY.get().is_some() {
        return Ok(());
    }
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS_SECONDS)?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    // Of two that start at the same time, the registry of the one that is installed is read.
    if metrics::set_global_recorder(recorder).is_ok() {
        let _ = REGISTRY.set(handle);
        describe();
    }
    Ok(())
}

/// Everything that was counted so far. Empty when nothing counts.
///
/// # Errors
/// When nothing was installed.
pub fn render() -> anyhow::Result<String> {
    let registry = REGISTRY.get().context("nothing counts in this process")?;
    // What was timed lies in buffers until somebody looks.
    registry.run_upkeep();
    Ok(registry.render())
}

fn describe() {
    for (name, about) in COUNTERS {
        describe_counter!(*name, *about);
    }
    for (name, about) in HISTOGRAMS {
        describe_histogram!(*name, Unit::Seconds, *about);
    }
    for (name, about) in GAUGES {
        describe_gauge!(*name, *about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() -> anyhow::Result<()> {
        install()?;
        install()?;
        metrics::counter!("tasks_total", "kind" => "noop", "outcome" => "succeeded").increment(2);
        metrics::histogram!("task_seconds", "kind" => "noop").record(0.02);

        let text = render()?;

        assert!(
            text.contains(r#"tasks_total{kind="noop",outcome="succeeded"} 2"#),
            "{text}"
        );
        assert!(
            text.contains(r#"task_seconds_bucket{kind="noop",le="0.025"} 1"#),
            "{text}"
        );
        Ok(())
    }
}
