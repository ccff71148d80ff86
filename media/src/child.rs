//! The process in which images are decoded: this program again, with one word as its argument.
//!
//! Nothing that an image does to it should matter. It may grow only so much, the kernel ends it when
//! it computes for too long, and it ends by itself when its pool is gone. Its environment says where
//! libraries are and nothing else, and the memory and the environment of its pool are closed to it,
//! as are its own to others (Linux).
//!
//! This holds against an image that makes the decoder crash, hang or grow. One that takes the decoder
//! over still has the user of its pool: it may read and write the files of that user, and open
//! connections. What holds against that is the container around both.

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
        bounds::of_image(&request.limits, request.wanted.len())?;
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

/// Closes memory and environment of this process to others of the same user, and to core dumps.
#[cfg(target_os = "linux")]
pub(crate) fn hide() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn hide() -> io::Result<()> {
    Ok(())
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
    use crate::limits::{VARIANT_BYTES_MAX, WANTED_MAX};

    /// How much more politely than its pool a child asks for the processor: heartbeats go first.
    const NICE: i32 = 5;

    /// Files that a child has open: three pipes, a source and a variant.
    const FILES_MAX: u64 = 32;

    pub(super) fn of_process(limits: &Limits) -> io::Result<()> {
        // How polite it is, is a wish: some systems do not grant it.
        let _ = nice(NICE);
        lower(Resource::Core, 0)?;
        lower(Resource::Nofile, FILES_MAX)?;
        lower(Resource::Fsize, VARIANT_BYTES_MAX)?;
        // All of its images together: what is set for each of them could be raised again up to this.
        let images = u64::from(limits.images_per_child_max);
        lower(Resource::Cpu, images * seconds(limits, WANTED_MAX))?;
        if let Some(bytes) = address_space() {
            lower(Resource::As, bytes + limits.memory_bytes_max)?;
        }
        super::hide()
    }

    pub(super) fn of_image(limits: &Limits, sizes: usize) -> io::Result<()> {
        let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
        let until = u64::try_from(used).unwrap_or(0) + seconds(limits, sizes);
        let maximum = getrlimit(Resource::Cpu).maximum;
        let limit = Rlimit {
            current: Some(maximum.map_or(until, |maximum| until.min(maximum))),
            maximum,
        };
        Ok(setrlimit(Resource::Cpu, limit)?)
    }

    /// Of a processor, for one image; the second that has begun counts as used.
    fn seconds(limits: &Limits, sizes: usize) -> u64 {
        1 + limits.cpu_seconds_max + sizes as u64
    }

    /// Sets a bound for good, or leaves the one that is already lower.
    fn lower(resource: Resource, most: u64) -> io::Result<()> {
        let now = getrlimit(resource).maximum;
        let most = Some(now.map_or(most, |now| most.min(now)));
        let limit = Rlimit {
            current: most,
            maximum: most,
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

    pub(super) fn of_image(_limits: &Limits, _sizes: usize) -> io::Result<()> {
        Ok(())
    }
}
