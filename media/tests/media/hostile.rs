//! The corpus, through the processes that the product has.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use media::{Error, Limits};

use super::{
    corpus::{self, Ending, Hostile},
    inside, make, pool_within,
};

/// Seconds of a processor that any of the files may take.
const CPU_SECONDS_MAX: u64 = 3;

fn fits(ending: Ending, code: &str) -> bool {
    match ending {
        Ending::Made => code == "made",
        Ending::Code(expected) => code == expected,
        Ending::Cut => matches!(code, "truncated" | "corrupt"),
        // Nothing may crash, and nothing may have to be stopped.
        Ending::Any => !matches!(code, "crashed" | "too_slow"),
    }
}

#[tokio::test]
async fn every_hostile_file_ends_with_a_clear_code() {
    let files = corpus::all();
    assert!(files.len() >= 300, "{} files", files.len());
    let limits = Limits {
        children: 1,
        cpu_seconds_max: CPU_SECONDS_MAX,
        ..Limits::default()
    };
    let pool = pool_within(limits.clone());
    let (mut codes, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    let mut slowest = (Duration::ZERO, String::new());
    let watch = peak::Watch::start();

    for Hostile {
        name,
        bytes,
        ending,
    } in &files
    {
        let folder = tempfile::tempdir().expect("a folder");
        let began = Instant::now();
        let made = make(
            &pool,
            folder.path(),
            bytes,
            &[inside("a", 320), inside("b", 96)],
        )
        .await;
        slowest = slowest.max((began.elapsed(), name.clone()));
        let code = made.as_ref().map_or_else(Error::code, |_| "made");
        *codes.entry(code.to_owned()).or_default() += 1;
        let permanent = made.as_ref().err().is_none_or(Error::is_permanent);
        if !fits(*ending, code) || !permanent {
            wrong.push(format!("{name}: {code}, not {ending:?}"));
        }
    }

    let peak = watch.peak_mebibytes();
    println!("{} files: {codes:?}", files.len());
    println!(
        "slowest {:?} ({}), largest process {peak:?} MiB",
        slowest.0, slowest.1
    );
    assert_eq!(wrong, Vec::<String>::new());
    // The program itself and its libraries come on top of what it may grow by.
    let most = (limits.memory_bytes_max >> 20) + 32;
    // Elsewhere nobody says how large a process became.
    if cfg!(target_os = "linux") {
        assert!(peak.is_some_and(|peak| peak <= most), "{peak:?} MiB");
    }
}

/// How large the processes of this one become.
mod peak {
    use std::{
        fs, process,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64, Ordering},
        },
        thread::{self, JoinHandle},
        time::Duration,
    };

    /// Looks every few milliseconds, on a thread of its own.
    pub(crate) struct Watch {
        peak: Arc<AtomicU64>,
        ended: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    }

    impl Watch {
        pub(crate) fn start() -> Self {
            let (peak, ended) = (
                Arc::new(AtomicU64::new(0)),
                Arc::new(AtomicBool::new(false)),
            );
            let (kept, end) = (Arc::clone(&peak), Arc::clone(&ended));
            let look = move || {
                while !end.load(Ordering::Relaxed) {
                    kept.fetch_max(largest_child().unwrap_or(0), Ordering::Relaxed);
                    thread::park_timeout(Duration::from_millis(5));
                }
            };
            Self {
                peak,
                ended,
                thread: Some(thread::spawn(look)),
            }
        }

        /// The largest there was; none where the system does not tell.
        pub(crate) fn peak_mebibytes(&self) -> Option<u64> {
            Some(self.peak.load(Ordering::Relaxed) >> 10).filter(|peak| *peak > 0)
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            self.ended.store(true, Ordering::Relaxed);
            if let Some(thread) = self.thread.take() {
                thread.thread().unpark();
                let _ = thread.join();
            }
        }
    }

    /// The largest peak, in kibibytes, of the processes that this one started.
    fn largest_child() -> Option<u64> {
        // Between fork and exec a child still has the size, and the name, of this process.
        let mine = format!("PPid:\t{}\n", process::id());
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let statuses = processes.filter_map(|it| fs::read_to_string(it.path().join("status")).ok());
        let peak = |status: String| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        statuses
            .filter(|status| status.starts_with("Name:\tmedia-child\n") && status.contains(&mine))
            .filter_map(peak)
            .max()
    }
}
