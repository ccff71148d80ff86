//! How durations are told: never by their average.

use std::fmt;

/// Durations in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(Vec<f64>);

impl FromIterator<f64> for Figures {
    fn from_iter<I: IntoIterator<Item = f64>>(seconds: I) -> Self {
        let mut seconds: Vec<f64> = seconds.into_iter().collect();
        seconds.sort_by(f64::total_cmp);
        Self(seconds)
    }
}

impl Figures {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The longest.
    pub(crate) fn max(&self) -> f64 {
        self.0.last().copied().unwrap_or_default()
    }

    /// The smallest that so many hundredths of all do not exceed.
    fn percentile(&self, hundredths: usize) -> f64 {
        let rank = (self.0.len() * hundredths).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        write!(
            f,
            "p50 {:.2} s, p95 {:.2} s, p99 {:.2} s, max {:.2} s of {}",
            self.percentile(50),
            self.percentile(95),
            self.percentile(99),
            self.max(),
            self.count(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_durations() {
        let figures: Figures = (1..=200).rev().map(f64::from).collect();

        assert_eq!(
            figures.to_string(),
            "p50 100.00 s, p95 190.00 s, p99 198.00 s, max 200.00 s of 200"
        );
        assert_eq!(Figures::default().to_string(), "none");
    }
}
