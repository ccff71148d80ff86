//! Loads the language model: for the first task that needs it, once, watched by all that wait.

use std::{sync::Arc, time::Duration};

use inference::{Engine, EngineConfig, Error, FetchOptions, Source, Weights};
use jobs::Priority;
use platform::health::{Health, Status};
use tokio::{sync::watch, task::spawn_blocking, time::Instant};
use tracing::{info, warn};

use crate::{
    error::JobError,
    model::{Loaded, Model},
    place::Place,
    run::Run,
};

/// The component of [`Health`] under which the model reports.
const COMPONENT: &str = "model";
/// After a failed load nobody tries again for this long; it doubles from failure to failure.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// What stands in.
const STARTER: Place = Place::Source(Source::Starter);

/// Which model to load, and what to do without it.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// The model that was asked for.
    pub source: Place,
    /// Whether the starter model may stand in when the other cannot be had.
    pub fallback: bool,
    /// How to reach the hub.
    pub fetch: FetchOptions,
    /// How to run the model.
    pub engine: EngineConfig,
}

#[derive(Debug, Clone)]
enum State {
    Idle,
    /// Somebody loads it; the text says how far they are.
    Loading(String),
    Ready(Loaded),
    Failed {
        error: Error,
        pause: Duration,
        until: Instant,
    },
}

/// The model of this process: a handle to share, cheap to clone.
#[derive(Debug, Clone)]
pub struct Models {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Option<ModelConfig>,
    health: Health,
    state: watch::Sender<State>,
}

impl Models {
    /// A model that is loaded when a task first needs it.
    pub fn lazy(config: ModelConfig, health: Health) -> Self {
        Self::with(State::Idle, Some(config), health)
    }

    /// A model that is there already.
    pub fn ready(model: Arc<dyn Model>) -> Self {
        Self::with(
            State::Ready(Loaded {
                model,
                fallback: None,
                urgent: false,
            }),
            None,
            Health::default(),
        )
    }

    /// Answers that the model writes at the same time; none where it does not say.
    pub(crate) fn places(&self) -> Option<usize> {
        Some(self.inner.config.as_ref()?.engine.places)
    }

    fn with(state: State, config: Option<ModelConfig>, health: Health) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                health,
                state: watch::Sender::new(state),
            }),
        }
    }

    /// The model, once it is there; until then the task says what it waits for.
    ///
    /// A load that failed is [`JobError::Retry`] with the code `model_unavailable` and the advice.
    pub(crate) async fn get(&self, run: &Run) -> Result<Loaded, JobError> {
        let mut states = self.inner.state.subscribe();
        loop {
            let state = states.borrow_and_update().clone();
            match state {
                State::Ready(loaded) => {
                    if let Some(reason) = &loaded.fallback {
                        run.warn(format!("The starter model stands in: {reason}"));
                    }
                    let urgent = run.task().priority == Priority::Interactive;
                    return Ok(Loaded { urgent, ..loaded });
                }
                State::Failed { error, until, .. } if Instant::now() < until => {
                    return Err(error.into());
                }
                State::Loading(message) => run.say("model", message),
                State::Idle | State::Failed { .. } => self.load(),
            }
            // The sender lives as long as `self`.
            let _ = states.changed().await;
        }
    }

    /// Starts loading, unless somebody did already. A task of its own does it, so that a cancelled
    /// task does not take the download of all others with it.
    fn load(&self) {
        let mut pause = PAUSE;
        let first = self.inner.state.send_if_modified(|state| {
            match state {
                State::Idle => {}
                State::Failed { pause: last, .. } => pause = (*last * 2).min(PAUSE_MAX),
                State::Loading(_) | State::Ready(_) => return false,
            }
            *state = State::Loading("Loading the model".to_owned());
            true
        });
        if let (true, Some(config)) = (first, self.inner.config.clone()) {
            let inner = self.inner.clone();
            tokio::spawn(async move { inner.settle(config, pause).await });
        }
    }
}

impl Inner {
    async fn settle(self: Arc<Self>, config: ModelConfig, pause: Duration) {
        let state = match self.clone().load(config).await {
            Ok(loaded) => {
                let info = loaded.info();
                info!(model.id = %info.id, model.parameters = info.parameters, "The model is ready");
                self.health.set(
                    COMPONENT,
                    match &loaded.fallback {
                        None => Status::Ready,
                        Some(reason) => {
                            Status::Degraded(format!("the starter stands in: {reason}"))
                        }
                    },
                );
                State::Ready(loaded)
            }
            Err(error) => {
                warn!(%error, "The model could not be loaded");
                self.health
                    .set(COMPONENT, Status::Degraded(error.to_string()));
                State::Failed {
                    error,
                    pause,
                    until: Instant::now() + pause,
                }
            }
        };
        self.state.send_replace(state);
    }

    async fn load(self: Arc<Self>, config: ModelConfig) -> Result<Loaded, Error> {
        let asked = self.start(&config.source, &config).await;
        match asked {
            Ok(engine) => Ok(Loaded {
                model: Arc::new(engine),
                fallback: None,
                urgent: false,
            }),
            Err(error) if config.fallback && config.source != STARTER => {
                let engine = self.start(&STARTER, &config).await?;
                warn!(%error, "The starter model stands in");
                Ok(Loaded {
                    model: Arc::new(engine),
                    fallback: Some(error.to_string()),
                    urgent: false,
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn start(self: &Arc<Self>, place: &Place, config: &ModelConfig) -> Result<Engine, Error> {
        self.report(format!("Loading the model {place}"));
        let inner = self.clone();
        let tell = move |progress: inference::Progress| inner.report(downloading(&progress));
        let source = place.source(&config.fetch, &tell).await?;
        let weights = Weights::fetch(&source, &config.fetch, tell).await?;
        self.report(format!("Loading the model {place}"));
        let engine = config.engine.clone();
        let started = spawn_blocking(move || Engine::start(weights, engine)).await;
        started.unwrap_or_else(|error| Err(Error::Engine(error.to_string())))
    }

    /// Tells readiness and the waiting tasks how far the load is.
    fn report(&self, message: String) {
        self.health
            .set(COMPONENT, Status::Starting(message.clone()));
        self.state.send_if_modified(|state| match state {
            State::Loading(last) if *last != message => {
                *last = message;
                true
            }
            _ => false,
        });
    }
}

fn downloading(progress: &inference::Progress) -> String {
    let file = &progress.file;
    match progress.total {
        Some(total) if total > 0 => {
            format!(
                "Downloading the model, {} % of {file}",
                progress.bytes.saturating_mul(100) / total
            )
        }
        _ => format!(
            "Downloading the model, {} MB of {file}",
            progress.bytes / 1_000_000
        ),
    }
}

#[cfg(test)]
mod tests {
    use jobs::kinds::Noop;
    use models::testing::{TestDb, TestResult};

    use super::*;
    use crate::run::tests::started;

    fn missing(fallback: bool) -> ModelConfig {
        ModelConfig {
            source: Place::Source(Source::Path("/nowhere/model.gguf".into())),
            fallback,
            fetch: FetchOptions::new("/nowhere"),
            engine: EngineConfig::default(),
        }
    }

    async fn run(test: &TestDb, config: ModelConfig, health: &Health) -> TestResult<Run> {
        let models = Models::lazy(config, health.clone());
        started(
            test,
            models,
            health.clone(),
            &Noop {
                n: 1,
                sleep_ms: 0,
                fail: None,
            },
        )
        .await
    }

    #[tokio::test]
    async fn a_missing_model_is_tried_again_and_says_what_to_do() -> TestResult {
        let test = TestDb::sqlite().await?;
        let health = Health::default();
        let run = run(&test, missing(false), &health).await?;

        let error = run
            .ctx()
            .model
            .get(&run)
            .await
            .expect_err("there is no such file");

        assert!(
            matches!(
                error,
                JobError::Retry {
                    code: "model_unavailable",
                    ..
                }
            ),
            "{error}"
        );
        assert!(matches!(health.snapshot()[COMPONENT], Status::Degraded(_)));
        test.close().await
    }

    #[tokio::test]
    async fn the_starter_stands_in_only_when_it_may_and_says_so() -> TestResult {
        let test = TestDb::sqlite().await?;
        let health = Health::default();
        let run = run(&test, missing(true), &health).await?;

        let loaded = run.ctx().model.get(&run).await?;

        assert!(
            loaded
                .fallback
                .is_some_and(|reason| reason.contains("/nowhere/model.gguf"))
        );
        assert!(
            run.warnings()[0].contains("starter"),
            "{:?}",
            run.warnings()
        );
        assert!(matches!(health.snapshot()[COMPONENT], Status::Degraded(_)));
        test.close().await
    }
}
