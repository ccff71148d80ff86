//! The process in which images are decoded: this program again, with one word as its argument.
//!
//! Nothing that an image does to it matters. It holds no secrets (its environment says where libraries are), it may
//! grow only so much, the kernel ends it when it computes for too long, and it ends by itself when
//! its pool is gone.

use std::{env, io, process::ExitCode};

use crate::{
    error::Result,
    limits::Limits,
    message::{Answer, Request, read, write},
    variants::variants,
    wanted::Made,
};

/// The argument that makes this program a child.
pub const ARGUMENT: &str = "media-child";

/// Serves images until the pool closes the pipe, if this process was started for that.
///
/// To be called first in `main`, before there are threads: they would count as growth.
pub fn main() -> Option<ExitCode> {
    if env::args_os().nth(1)? != ARGUMENT {
        return None;
    }
    Some(match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn serve() -> io::Result<()> {
    let (mut requests, mut answers) = (io::stdin().lock(), io::stdout().lock());
    let mut bounded = false;
    while let Some(request) = read::<Request>(&mut requests)? {
        if !bounded {
            bounds::of_process(&request.limits)?;
            bounded = true;
        }
        bounds::of_image(&request.limits)?;
        write(&mut answers, &Answer::from(work(&request)))?;
    }
    Ok(())
}

fn work(request: &Request) -> Result<Made> {
    variants(
        &request.source,
        &request.wanted,
        &request.out,
        &request.limits,
    )
}

/// What the kernel holds a child to.
#[cfg(unix)]
mod bounds {
    use std::{fs, io};

    use rustix::{
        param::page_size,
        process::{Resource, Rlimit, getrlimit, nice, setrlimit},
        time::{ClockId, clock_gettime},
    };

    use super::Limits;

    /// How much more politely than its pool a child asks for the processor: heartbeats go first.
    const NICE: i32 = 5;

    /// Files that a child has open: three pipes, a source and a variant.
    const FILES_MAX: u64 = 32;

    /// Seconds between the signal that ends a child and the one that cannot be missed.
    const GRACE_SECONDS: u64 = 1;

    pub(super) fn of_process(limits: &Limits) -> io::Result<()> {
        // How polite it is, is a wish: some systems do not grant it.
        let _ = nice(NICE);
        lower(Resource::Core, 0, 0)?;
        lower(Resource::Nofile, FILES_MAX, FILES_MAX)?;
        if let Some(bytes) = address_space() {
            let most = bytes + limits.memory_bytes_max;
            lower(Resource::As, most, most)?;
        }
        Ok(())
    }

    pub(super) fn of_image(limits: &Limits) -> io::Result<()> {
        let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
        // The second that has begun counts as used.
        let until = u64::try_from(used).unwrap_or(0) + 1 + limits.cpu_seconds_max;
        let hard = getrlimit(Resource::Cpu).maximum;
        lower(
            Resource::Cpu,
            until,
            hard.unwrap_or(u64::MAX).max(until + GRACE_SECONDS),
        )
    }

    /// Sets a bound, or leaves the one that is already lower.
    fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
        let now = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let bound = |bytes: u64| (bytes.min(now) != u64::MAX).then_some(bytes.min(now));
        let limit = Rlimit {
            current: bound(soft),
            maximum: bound(hard),
        };
        Ok(setrlimit(resource, limit)?)
    }

    /// Bytes of address space in use; known on Linux alone.
    fn address_space() -> Option<u64> {
        let pages = fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = pages.split(' ').next()?.parse().ok()?;
        Some(pages * page_size() as u64)
    }
}

/// Elsewhere the pool's clock is the only bound.
#[cfg(not(unix))]
mod bounds {
    use std::io;

    use super::Limits;

    pub(super) fn of_process(_limits: &Limits) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn of_image(_limits: &Limits) -> io::Result<()> {
        Ok(())
    }
}
