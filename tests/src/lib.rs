//! The platform as a client sees it.
