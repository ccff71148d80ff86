//! What was measured of one system, as a row of the table.

use std::fmt;

use crate::latency::Percentiles;

/// One row.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    pub(crate) submits: Option<f64>,
    pub(crate) end_to_end: Option<f64>,
    pub(crate) drain: Option<f64>,
    pub(crate) finished: Option<f64>,
    pub(crate) live: Option<f64>,
    pub(crate) latency: Option<Percentiles>,
    pub(crate) start: Option<f64>,
    /// MiB of the API and of a worker, before the load and after it.
    pub(crate) rss_idle: (f64, Option<f64>),
    pub(crate) rss_loaded: (f64, Option<f64>),
}

impl Row {
    /// A row in which nothing was measured yet.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            submits: None,
            end_to_end: None,
            drain: None,
            finished: None,
            live: None,
            latency: None,
            start: None,
            rss_idle: (0.0, None),
            rss_loaded: (0.0, None),
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
        let latency = self
            .latency
            .map_or("-".to_owned(), |(p50, p99)| format!("{p50:.1} / {p99:.1}"));
        let rss = |(api, worker): (f64, Option<f64>)| format!("{api:.0} / {}", number(worker));
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {latency} | {} | {} | {} |",
            self.name,
            number(self.submits),
            number(self.end_to_end),
            number(self.drain),
            number(self.finished),
            number(self.live),
            number(self.start),
            rss(self.rss_idle),
            rss(self.rss_loaded),
        )
    }
}
