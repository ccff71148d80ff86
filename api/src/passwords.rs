//! Passwords are hashed beside the requests, a few at a time: one costs 19 MiB and some 20 ms.

use std::sync::Arc;

use models::passwords;
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{limits::HASHES_AT_ONCE_MAX, problem::Problem};

/// Those who compute; clones share the places.
#[derive(Clone, Debug)]
pub(crate) struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HASHES_AT_ONCE_MAX)))
    }
}

impl Passwords {
    /// The form in which a password is kept.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Problem> {
        let password = password.to_owned();
        Ok(self.compute(move || passwords::hash(&password)).await??)
    }

    /// The same of a new password, unless it is soon guessed by somebody who knows these words.
    pub(crate) async fn hash_new(&self, password: &str, about: &[&str]) -> Result<String, Problem> {
        let password = password.to_owned();
        let about: Vec<String> = about.iter().map(|text| (*text).to_owned()).collect();
        let work = move || {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            passwords::check(&password, &about)?;
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
        let place = self.0.clone().acquire_owned().await;
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
