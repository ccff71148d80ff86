//! How long it took until the work of a process that had died went on elsewhere.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use jobs::Ending;

use super::{
    figures::Figures,
    history::{Entry, What},
    rows::Rows,
};

/// What became of the attempts that were lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Recovery {
    /// From the death of a worker until its tasks were taken back.
    pub noticed: Figures,
    /// From the death of a worker to the next attempt elsewhere, or to the end of a task that had no
    /// attempt left.
    pub after_death: Figures,
    /// Attempts that were lost although their worker lived: the database was away for too long.
    pub otherwise: usize,
}

/// Measures every attempt that was lost.
pub(crate) fn measure(entries: &[Entry], rows: &Rows) -> Recovery {
    let deaths: HashMap<&str, DateTime<Utc>> = entries
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Killed { process, .. } | What::Ended { process, .. } => {
                Some((process.as_str(), entry.at))
            }
            _ => None,
        })
        .collect();
    let mut recovery = Recovery::default();
    let (mut noticed, mut seconds) = (Vec::new(), Vec::new());
    for row in &rows.tasks {
        for (place, attempt) in row.attempts.iter().enumerate() {
            if attempt.outcome != Some(Ending::Lost) {
                continue;
            }
            let Some(death) = deaths.get(attempt.worker.as_str()) else {
                recovery.otherwise += 1;
                continue;
            };
            let next = row.attempts.get(place + 1).map(|next| next.started_at);
            let since = |at: DateTime<Utc>| (at - *death).as_seconds_f64();
            noticed.extend(attempt.ended_at.map(since));
            seconds.extend(next.or(attempt.ended_at).map(since));
        }
    }
    recovery.noticed = noticed.into_iter().collect();
    recovery.after_death = seconds.into_iter().collect();
    recovery
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::chaos::{
        process::Role,
        rows::testing::{attempt, row},
    };

    #[test]
    fn recovery_counts_from_the_death_to_the_next_start() {
        let second = |second| DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        let process = "worker-1".to_owned();
        let entries = [Entry {
            at: second(10),
            what: What::Killed {
                process,
                role: Role::Worker,
            },
        }];
        let lost = attempt(1, "worker-1", second(9), second(24), Ending::Lost);
        let late = attempt(2, "worker-2", second(25), second(41), Ending::Lost);
        let done = attempt(3, "worker-3", second(42), second(43), Ending::Succeeded);
        let rows = Rows {
            tasks: vec![row(vec![lost, late, done])],
            keys: Vec::new(),
        };

        let recovery = measure(&entries, &rows);

        assert_eq!(recovery.noticed, [14.0].into_iter().collect());
        assert_eq!(recovery.after_death, [15.0].into_iter().collect());
        assert_eq!(recovery.otherwise, 1);
    }
}
