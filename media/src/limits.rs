//! Every bound of the crate, with its name and number.

use std::thread;

use serde::{Deserialize, Serialize};

/// What an image may cost. What exceeds a bound is refused with the code of that bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Images decoded at the same time, each in a process of its own.
    pub children: usize,
    /// Bytes of the file.
    pub bytes_max: u64,
    /// Width times height as the header says, before anything is decoded.
    pub pixels_max: u64,
    /// Bytes by which the decoding process may grow.
    pub memory_bytes_max: u64,
    /// Bytes of the colour profile, and of EXIF, each.
    pub metadata_bytes_max: usize,
    /// Seconds of a processor for one image; each size that is asked for adds one.
    pub cpu_seconds_max: u64,
    /// Seconds on the clock for one image; a busy machine needs more than `cpu_seconds_max`.
    pub wall_seconds_max: u64,
    /// Images after which a process is replaced, so that nothing grows for ever.
    pub images_per_child_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            children: thread::available_parallelism().map_or(1, usize::from),
            bytes_max: 64 << 20,
            pixels_max: 64_000_000,
            memory_bytes_max: 256 << 20,
            metadata_bytes_max: 4 << 20,
            cpu_seconds_max: 10,
            wall_seconds_max: 60,
            images_per_child_max: 200,
        }
    }
}

/// Variants of one request.
pub const WANTED_MAX: usize = 16;

/// The longest side of a variant in pixels.
pub const WANTED_SIDE_MAX: u32 = 4096;

/// The longest name of a variant in bytes.
pub const NAME_BYTES_MAX: usize = 40;

/// Parts of the colour profile of a JPEG: each has a number of one byte, counted from 1.
pub const PROFILE_PARTS_MAX: usize = 255;

/// Scans of a progressive JPEG; encoders write about ten.
pub const SCANS_MAX: usize = 100;

/// Blocks visited by all scans of a JPEG together: 64 megapixels written in twenty scans.
pub const BLOCK_VISITS_MAX: u64 = 32_000_000;

/// Bytes of a variant, which has at most 17 megapixels.
pub const VARIANT_BYTES_MAX: u64 = 64 << 20;

/// Bytes of a request or an answer between the pool and its processes.
pub const FRAME_BYTES_MAX: usize = 256 << 10;
