//! What can go wrong with stored bytes, by what the caller can do about it.

use std::{error, io, result};

/// The result of every function here.
pub type Result<T, E = Error> = result::Result<T, E>;

/// Why bytes could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing under this name.
    #[error("there are no such bytes")]
    NotFound,
    /// There is no room for more: somebody has to make some.
    #[error("the storage is full: {0}")]
    Full(String),
    /// What is stored is not what was stored: it has to be restored.
    #[error("the stored bytes are damaged: {0}")]
    Corrupt(String),
    /// The storage is away, busy or refuses us; later it may work.
    #[error("the storage cannot be used: {0}")]
    Unavailable(String),
}

impl Error {
    fn of(error: &(dyn error::Error + 'static)) -> Self {
        let mut source = Some(error);
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<io::Error>()
                && is_full(io)
            {
                return Self::Full(io.to_string());
            }
            source = cause.source();
        }
        Self::Unavailable(error.to_string())
    }
}

/// A disk that is full, a quota that is used up, or a file that may not grow any more.
fn is_full(error: &io::Error) -> bool {
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    );
    // The source of an error that wraps another is that one's source, not itself.
    let wrapped = error.get_ref().and_then(|inner| inner.downcast_ref());
    full || wrapped.is_some_and(is_full)
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            error => Self::of(&error),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::of(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_found_however_deep_it_is_wrapped() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let wrapped = object_store::Error::Generic {
            store: "test",
            source: Box::new(io::Error::other(full)),
        };

        assert!(matches!(wrapped.into(), Error::Full(_)));
        let away = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(matches!(away.into(), Error::Unavailable(_)));
    }
}
