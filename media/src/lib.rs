//! Hostile image bytes become small, clean variants.
//!
//! Inside is a pure way from a file to files: [`Limits`] are checked on the header, JPEG and WebP are
//! made smaller while they decode, rows are resized as they come, colours become sRGB, the picture
//! is turned upright, and nothing but pixels is written. Around it is a [`Pool`] of processes that may
//! crash, hang or run out of memory without taking a worker along.

pub mod child;
mod decode;
mod encode;
mod error;
mod exif;
mod gif;
mod jpeg;
pub mod limits;
mod message;
#[cfg(feature = "more-formats")]
mod more;
mod picture;
mod placeholder;
mod png;
mod pool;
mod resize;
mod rows;
mod srgb;
#[cfg(fuzzing)]
pub mod testing;
mod variants;
mod wanted;
mod webp;

pub use error::{Code, Error};
pub use limits::Limits;
pub use pool::Pool;
pub use wanted::{Fit, Format, Made, Variant, Wanted};
