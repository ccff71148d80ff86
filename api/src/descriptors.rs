//! How many files this process may have open: every connection is one.

use tracing::warn;

/// Files beside the connections of clients: those to the database and to Redis, and what they need.
const FILES_BESIDE: usize = 256;

/// The most connections that can be open, `wanted` at most. Asks the system for as many files as they
/// need; where it allows fewer, says so and what to do.
pub(crate) fn connections(wanted: usize) -> usize {
    let needed = wanted + FILES_BESIDE;
    let allowed = rlimit::increase_nofile_limit(needed as u64);
    let files = match &allowed {
        Ok(files) => usize::try_from(*files).unwrap_or(usize::MAX),
        Err(error) => {
            warn!(%error, "How many files may be open is not known: {error}");
            needed
        }
    };
    let most = affordable(wanted, files);
    if most < wanted {
        warn!(
            files,
            "This process may have {files} files open, so it takes {most} connections instead of \
             {wanted}: raise the limit (`ulimit -n`, LimitNOFILE) to {needed}"
        );
    }
    most
}

/// How many connections so many files allow, at least one.
fn affordable(wanted: usize, files: usize) -> usize {
    // Where even the rest is tight, clients get half.
    let left = files.saturating_sub(FILES_BESIDE).max(files / 2);
    left.clamp(1, wanted.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_allow_is_never_more_than_is_wanted_nor_nothing() {
        assert_eq!(affordable(4_096, 1_048_576), 4_096);
        assert_eq!(affordable(4_096, 1_024), 768);
        assert_eq!(affordable(4_096, 256), 128);
        assert_eq!(affordable(4_096, 0), 1);
        assert_eq!(affordable(8, 1_024), 8);
    }
}
