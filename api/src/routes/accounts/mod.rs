//! Accounts: how they begin, how somebody signs in, and what people decide about their own.

pub(crate) mod keys;
pub(crate) mod me;
pub(crate) mod passwords;
pub(crate) mod registrations;
pub(crate) mod second_factors;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
pub(crate) mod words;
