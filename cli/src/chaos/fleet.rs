//! The processes of the experiment, each started again when it ends: what an orchestrator does.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::debug;

use super::{
    history::{History, What},
    process::{Launch, Process, Role},
};

/// How soon a process that has ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
/// How long the fleet may take until every process has said that it listens.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A place in the fleet, whichever process has it now.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Where the process listens; nothing before the first has started.
    base: Mutex<Option<String>>,
    kill: Notify,
}

impl Place {
    fn base(&self) -> Option<String> {
        self.base
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Kills the process that is there, or the next one as soon as it is.
    pub(crate) fn kill(&self) {
        self.kill.notify_one();
    }
}

/// The processes. Dropping it kills them.
pub(crate) struct Fleet {
    apis: Vec<Arc<Place>>,
    workers: Vec<Arc<Place>>,
    _keepers: JoinSet<()>,
}

impl Fleet {
    /// Starts so many processes and waits until all of them listen.
    ///
    /// # Errors
    /// When one does not come to listen in time.
    pub(crate) async fn start(
        launch: &Launch,
        apis: u32,
        workers: u32,
        history: &History,
    ) -> anyhow::Result<Self> {
        let launch = Arc::new(launch.clone());
        let mut keepers = JoinSet::new();
        let mut places = |role, count: u32| -> Vec<Arc<Place>> {
            let places: Vec<_> = (0..count).map(|_| Arc::new(Place::default())).collect();
            for (number, place) in places.iter().enumerate() {
                let keeper = keep(launch.clone(), role, number, place.clone(), history.clone());
                keepers.spawn(keeper);
            }
            places
        };
        let fleet = Self {
            apis: places(Role::Api, apis),
            workers: places(Role::Worker, workers),
            _keepers: keepers,
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while fleet.places().any(|place| place.base().is_none()) {
            anyhow::ensure!(
                Instant::now() < deadline,
                "the fleet does not start: see the logs in {}",
                launch.folder.display()
            );
            sleep(LOOK).await;
        }
        Ok(fleet)
    }

    /// The place of an API, by any number.
    pub(crate) fn api(&self, pick: u32) -> &Place {
        &self.apis[pick as usize % self.apis.len()]
    }

    /// The place of a worker, by any number.
    pub(crate) fn worker(&self, pick: u32) -> &Place {
        &self.workers[pick as usize % self.workers.len()]
    }

    /// How many APIs there are.
    pub(crate) fn apis(&self) -> usize {
        self.apis.len()
    }

    /// Where an API listens, by any number. It may be gone already.
    pub(crate) fn base(&self, pick: u32) -> String {
        self.api(pick).base().unwrap_or_default()
    }

    fn places(&self) -> impl Iterator<Item = &Arc<Place>> {
        self.apis.iter().chain(&self.workers)
    }
}

/// Starts one process after the other at a place.
async fn keep(launch: Arc<Launch>, role: Role, number: usize, place: Arc<Place>, history: History) {
    loop {
        let mut process = match Process::start(&launch, role, number).await {
            Ok(process) => process,
            Err(error) => {
                debug!(?role, number, "A process does not start: {error:#}");
                sleep(RESTART_PAUSE).await;
                continue;
            }
        };
        *place.base.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.base.clone());
        let name = process.name.clone();
        tokio::select! {
            () = place.kill.notified() => {
                // The time before the kill: recovery is measured from there.
                history.note(What::Killed { process: name, role });
                if let Err(error) = process.kill().await {
                    debug!("A process was not killed: {error:#}");
                }
            }
            () = process.ended() => {
                history.note(What::Ended { process: name, role });
                sleep(RESTART_PAUSE).await;
            }
        }
    }
}
