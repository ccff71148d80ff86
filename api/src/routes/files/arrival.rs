//! What happens when the bytes of a file have arrived, however they came.
//!
//! ```text
//! reserve the name, commit -> rename the bytes -> file, task, key: commit -> ring
//! ```
//!
//! Whatever breaks off in between leaves bytes that nobody refers to, which are swept.

use futures_util::{StreamExt, stream};
use jobs::{
    Priority, Task,
    kinds::ThumbnailImage,
    store::{Changed, Options},
};
use models::{
    Tx, UploadId, blobs,
    file_types::FileType,
    file_usage,
    files::{self, File, NewFile},
    uploads,
};
use platform::storage::{Arrived, Digesting, Storage};
use serde_json::json;
use tracing::warn;

use crate::{
    app::App,
    caller::Caller,
    codes,
    idempotency::{Attempt, Replay},
    problem::Problem,
    request::RequestContext,
    seats::Seat,
};

/// Pieces that are removed from the storage at once.
const REMOVED_AT_ONCE: usize = 16;

/// A file on its way in.
pub(crate) struct Arriving {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    pub(crate) context: RequestContext,
    /// The upload that its pieces came by, which has been charged for.
    pub(crate) upload: Option<UploadId>,
    _seat: Seat,
}

/// A file that is stored.
pub(crate) struct Stored {
    pub(crate) file: File,
    /// Whether an earlier request with the same key had stored it.
    pub(crate) replayed: bool,
}

/// What one transaction has made.
struct Made {
    file: File,
    task: Option<Task>,
    /// The temporary names of pieces that are no longer needed.
    pieces: Vec<String>,
}

impl Arriving {
    /// A file of the caller, where one more may arrive.
    pub(crate) fn new(
        app: &App,
        caller: Caller,
        context: RequestContext,
        upload: Option<UploadId>,
    ) -> Result<Self, Problem> {
        let code = &codes::TOO_MANY_ARRIVING;
        Ok(Self {
            _seat: app.arrivals.seat(caller.owner, code)?,
            app: app.clone(),
            caller,
            context,
            upload,
        })
    }

    /// Stores bytes that have arrived as a file of the caller.
    pub(crate) async fn store(
        self,
        name: String,
        arrived: Arrived,
        key: Option<&str>,
    ) -> Result<Stored, Problem> {
        let (app, storage) = (&self.app, self.app.storage()?);
        let fingerprint = fingerprint(&name, &arrived);
        let attempt = Attempt::new(self.caller, "create_file", key, &fingerprint)?;
        let new = NewFile {
            owner: self.caller.owner,
            digest: arrived.digest.to_string(),
            size: i64::try_from(arrived.size).map_err(|e| Problem::internal(e.to_string()))?,
            media_type: FileType::of(&arrived.head),
            name,
        };
        if let Err(problem) = self.reserve(&new).await {
            discard(storage, &arrived).await;
            return Err(problem);
        }
        if let Err(error) = storage.keep(&arrived).await {
            discard(storage, &arrived).await;
            return Err(error.into());
        }
        let mut tx = app.begin().await?;
        if let Some(replay) = attempt.claim(&mut tx, app.db.now()).await? {
            let file = self.replayed(&mut tx, &replay).await?;
            let replayed = true;
            return Ok(Stored { file, replayed });
        }
        let made = self.create(&mut tx, &new).await?;
        let answer = Replay::Document(json!({"file_id": made.file.id}));
        attempt.answer(&mut tx, &answer).await?;
        tx.commit().await?;
        self.conclude(made).await
    }

    async fn reserve(&self, new: &NewFile) -> Result<(), Problem> {
        let mut tx = self.app.begin().await?;
        blobs::reserve(&mut tx, &new.digest, new.size, self.app.db.now()).await?;
        Ok(tx.commit().await?)
    }

    async fn create(&self, tx: &mut Tx, new: &NewFile) -> Result<Made, Problem> {
        let now = self.app.db.now();
        if self.upload.is_none() {
            file_usage::charge(tx, new.owner, new.size).await?;
        }
        let mut file = files::create(tx, new, now).await?;
        let mut task = None;
        if new.media_type.is_picture() {
            let made = ThumbnailImage::submit_standard(tx, file.id, self.options(), now).await?;
            file.task_id = Some(made.id);
            task = Some(made);
        }
        let pieces = match self.upload {
            Some(upload) => uploads::finish(tx, upload, file.id, now).await?,
            None => Vec::new(),
        };
        Ok(Made { file, task, pieces })
    }

    async fn replayed(&self, tx: &mut Tx, replay: &Replay) -> Result<File, Problem> {
        let id = match replay {
            Replay::Document(document) => serde_json::from_value(document["file_id"].clone()).ok(),
            Replay::Task(_) => None,
        };
        let id = id.ok_or_else(|| Problem::internal("the key of a file has no file"))?;
        Ok(files::get(tx, self.caller.owner, id).await?)
    }

    async fn conclude(self, made: Made) -> Result<Stored, Problem> {
        let storage = self.app.storage()?;
        if let Some(task) = made.task {
            let others = Vec::new();
            let changed = Changed { task, others };
            self.app.bell.tell_all(&changed, self.app.db.now());
        }
        remove(storage, made.pieces).await;
        Ok(Stored {
            file: made.file,
            replayed: false,
        })
    }

    /// Somebody waits for the pictures, so they go before work in bulk.
    fn options(&self) -> Options {
        Options {
            priority: Priority::Interactive,
            request_id: Some(self.context.request_id.clone()),
            trace_id: self.context.trace_id.clone(),
            ..Options::by(self.caller.owner)
        }
    }
}

/// Forgets bytes that have arrived and are not wanted.
pub(crate) async fn discard(storage: &Storage, arrived: &Arrived) {
    if let Err(error) = storage.discard(arrived).await {
        warn!(%error, "Bytes that nobody wants stay until they are swept: {error}");
    }
}

/// Removes pieces of uploads from the storage, by their temporary names.
pub(crate) async fn remove(storage: &Storage, pieces: Vec<String>) {
    let removing = |piece: String| async move {
        if let Err(error) = storage.delete_part(&piece).await {
            warn!(%error, "A piece of an upload stays until it is swept: {error}");
        }
    };
    let pieces = stream::iter(pieces);
    pieces.for_each_concurrent(REMOVED_AT_ONCE, removing).await;
}

/// What a repeated request must match: the name and the bytes, not the way they were packed.
fn fingerprint(name: &str, arrived: &Arrived) -> String {
    let mut digesting = Digesting::default();
    digesting.update(arrived.digest.as_bytes());
    digesting.update(name.as_bytes());
    digesting.finish().to_string()
}
