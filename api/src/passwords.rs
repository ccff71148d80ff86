//! Passwords are hashed beside the requests, a few at a time: one costs 19 MiB and some 20 ms.

use std::sync::Arc;

use clap::Args;
use models::{breached::Breached, passwords};
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{app::App, limits::HASHES_AT_ONCE_MAX, problem::Problem};

/// Which passwords cannot be chosen.
#[derive(Clone, Debug, Default, Args)]
pub struct PasswordArgs {
    /// A file with the SHA-1 digests of passwords that were stolen elsewhere, in order, a line each, as
    /// haveibeenpwned.com gives them out: none of them can be chosen [default: none]
    #[arg(
        long,
        help_heading = "Server",
        value_name = "FILE",
        env = "LYO_BREACHED_PASSWORDS"
    )]
    pub breached_passwords: Option<Breached>,
}

impl PasswordArgs {
    /// Has the API refuse these passwords.
    pub fn apply(&self, app: &mut App) {
        app.passwords.breached.clone_from(&self.breached_passwords);
    }
}

/// Those who compute; clones share the places.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    breached: Option<Breached>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(HASHES_AT_ONCE_MAX)),
            breached: None,
        }
    }
}

impl Passwords {
    /// The form in which a password is kept.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Problem> {
        let password = password.to_owned();
        Ok(self.compute(move || passwords::hash(&password)).await??)
    }

    /// The same of a new password, unless it was stolen elsewhere or is soon guessed by somebody who knows these
    /// words.
    pub(crate) async fn hash_new(&self, password: &str, about: &[&str]) -> Result<String, Problem> {
        let password = password.to_owned();
        let about: Vec<String> = about.iter().map(|text| (*text).to_owned()).collect();
        let breached = self.breached.clone();
        let work = move || {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            passwords::check(&password, &about)?;
            if let Some(breached) = breached {
                breached.check(&password)?;
            }
            passwords::hash(&password)
        };
        Ok(self.compute(work).await??)
    }

    /// Whether it is the password that was kept; as slow for one that nobody has.
    pub(crate) async fn verify(
        &self,
        password: &str,
        kept: Option<String>,
    ) -> Result<bool, Problem> {
        let password = password.to_owned();
        self.compute(move || passwords::verify(&password, kept.as_deref()))
            .await
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        // Whoever waits too long for a place is answered by the time limit of requests.
        let place = self.places.clone().acquire_owned().await;
        let place = place.map_err(|error| Problem::internal(error.to_string()))?;
        let working = spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        working
            .await
            .map_err(|error| Problem::internal(error.to_string()))
    }
}
