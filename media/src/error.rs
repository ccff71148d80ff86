//! Why there are no variants: what is wrong with the image, or with us.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// What decoding and everything below it answers.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What is wrong with an image. Trying again never helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The file has no bytes.
    Empty,
    /// It is of no type that is read, or of a kind of it that nobody uses.
    UnsupportedType,
    /// The file is larger than `Limits::bytes_max`.
    TooManyBytes,
    /// The header promises more than `Limits::pixels_max`.
    TooManyPixels,
    /// Decoding would need, or needed, more than `Limits::memory_bytes_max`.
    TooMuchMemory,
    /// Profile or EXIF are larger than `Limits::metadata_bytes_max`.
    TooMuchMetadata,
    /// The file ends before the picture does.
    Truncated,
    /// The bytes contradict the format.
    Corrupt,
    /// It used more than `Limits::cpu_seconds_max`.
    TooSlow,
    /// The process that decoded it died, twice.
    Crashed,
}

impl Code {
    /// The word that clients switch on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::UnsupportedType => "unsupported_type",
            Self::TooManyBytes => "too_many_bytes",
            Self::TooManyPixels => "too_many_pixels",
            Self::TooMuchMemory => "too_much_memory",
            Self::TooMuchMetadata => "too_much_metadata",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::TooSlow => "too_slow",
            Self::Crashed => "crashed",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why there are no variants.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is at fault.
    #[error("the image is {code}: {detail}")]
    Refused {
        /// What is wrong with it.
        code: Code,
        /// The same for people; it quotes nothing of the file.
        detail: String,
    },
    /// What was asked for is at fault: a name, a size or too many of them.
    #[error("these variants cannot be made: {0}")]
    Wanted(String),
    /// The source cannot be read or a variant cannot be written.
    #[error("files: {0}")]
    Files(String),
    /// It took longer than `Limits::wall_seconds_max`; the machine may just be busy.
    #[error("no answer within {0} s")]
    TimedOut(u64),
    /// The process that decodes cannot be started or spoken to.
    #[error("the decoding process: {0}")]
    Process(#[from] io::Error),
}

impl Error {
    /// The word that clients switch on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { code, .. } => code.as_str(),
            Self::Wanted(_) => "invalid_variants",
            Self::Files(_) => "files_unavailable",
            Self::TimedOut(_) => "timed_out",
            Self::Process(_) => "decoder_unavailable",
        }
    }

    /// Whether the same request fails again, whatever one does.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Wanted(_))
    }

    pub(crate) fn refused(code: Code, detail: impl Into<String>) -> Self {
        Self::Refused {
            code,
            detail: detail.into(),
        }
    }

    pub(crate) fn corrupt(detail: impl Into<String>) -> Self {
        Self::refused(Code::Corrupt, detail)
    }

    pub(crate) fn truncated(detail: impl Into<String>) -> Self {
        Self::refused(Code::Truncated, detail)
    }

    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::refused(Code::UnsupportedType, detail)
    }
}
