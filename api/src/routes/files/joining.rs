//! Makes files of uploads that have arrived as a whole.
//!
//! That takes as long as all of the bytes take twice, so it is done beside the request that asks for
//! it: it ends whether anybody waits or not. The row says who is at it, so nobody else begins.

use futures_util::TryStreamExt;
use models::{
    UploadId,
    uploads::{self, JOINING, Part, Upload},
};
use platform::storage::{self, Arrived, Incoming, Storage};
use tokio::{
    select,
    sync::oneshot,
    time::{sleep, timeout},
};
use tracing::{Instrument, warn};

use super::arrival::{Arriving, discard, remove};
use crate::{app::App, caller::Caller, codes, problem::Problem};

/// Makes a file of an upload, and waits for it for a while. Answers the upload as it is then: without
/// a file when it is still being made, by us or by somebody else.
pub(crate) async fn finish(upload: Upload, arriving: Arriving) -> Result<Upload, Problem> {
    let (app, caller) = (arriving.app.clone(), arriving.caller);
    let mut tx = app.begin().await?;
    let claimed = uploads::join(&mut tx, upload.id, app.db.now()).await?;
    tx.commit().await?;
    let Some(claimed) = claimed else {
        return find(&app, caller, upload.id).await;
    };
    let (tell, told) = oneshot::channel();
    let work = async move {
        let made = Box::pin(join(claimed, arriving)).await;
        // The edge tells of a problem that somebody waits for.
        if let Err(Err(problem)) = tell.send(made) {
            let cause = problem.cause.as_ref().unwrap_or(&problem.detail);
            warn!(
                "No file was made of an upload: {}: {cause}",
                problem.code.name
            );
        }
    };
    app.joining.spawn(work.in_current_span());
    match timeout(app.timeouts.join, told).await {
        Ok(Ok(made)) => made,
        Ok(Err(_)) => Err(Problem::internal("making a file of an upload panicked")),
        Err(_) => Ok(upload),
    }
}

async fn find(app: &App, caller: Caller, id: UploadId) -> Result<Upload, Problem> {
    let mut conn = app.conn().await?;
    Ok(uploads::get(&mut conn, caller.owner, id, app.db.now()).await?)
}

/// Makes a file of an upload that is claimed. On an error it is claimed no more.
async fn join(upload: Upload, arriving: Arriving) -> Result<Upload, Problem> {
    let (app, id) = (arriving.app.clone(), upload.id);
    let made = select! {
        made = timeout(app.timeouts.upload, make(upload, arriving)) => made,
        never = renew(&app, id) => match never {},
    };
    let late = || Problem::new(&codes::REQUEST_TIMEOUT, codes::REQUEST_TIMEOUT.meaning);
    let made = made.unwrap_or_else(|_| Err(late()));
    if made.is_err()
        && let Err(problem) = claim(&app, id, false).await
    {
        warn!(%problem, "An upload stays claimed for a while: {problem}");
    }
    made
}

/// Says again and again that somebody is at it.
async fn renew(app: &App, id: UploadId) -> std::convert::Infallible {
    let period = JOINING.to_std().unwrap_or_default() / 3;
    loop {
        sleep(period).await;
        // Whoever then claims it too does the same work, and one of both makes the file.
        if let Err(problem) = claim(app, id, true).await {
            warn!(%problem, "An upload could not be claimed again: {problem}");
        }
    }
}

async fn claim(app: &App, id: UploadId, claims: bool) -> Result<(), Problem> {
    let mut tx = app.begin().await?;
    let until = claims.then(|| app.db.now() + JOINING);
    uploads::claim(&mut tx, id, until).await?;
    Ok(tx.commit().await?)
}

async fn make(upload: Upload, arriving: Arriving) -> Result<Upload, Problem> {
    let (app, caller) = (arriving.app.clone(), arriving.caller);
    let storage = app.storage()?;
    let parts = uploads::parts(&mut app.conn().await?, upload.id).await?;
    let arrived = match gather(storage, &parts).await {
        Ok(arrived) => arrived,
        Err(storage::Error::NotFound) => return lost(&app, caller, upload.id).await,
        Err(error) => return Err(error.into()),
    };
    if i64::try_from(arrived.size) != Ok(upload.size_bytes) {
        discard(storage, &arrived).await;
        return lost(&app, caller, upload.id).await;
    }
    let digest = arrived.digest.to_string();
    if upload.digest.as_ref().is_some_and(|said| *said != digest) {
        discard(storage, &arrived).await;
        // There is nothing to go on with.
        forget(&app, caller, upload.id).await?;
        let detail = format!("What has arrived has the SHA-256 {digest}.");
        return Err(Problem::new(&codes::DIGEST_MISMATCH, detail));
    }
    let stored = arriving.store(upload.name.clone(), arrived, None).await?;
    Ok(Upload {
        file_id: Some(stored.file.id),
        ..upload
    })
}

/// What to answer when the pieces are not what their rows say.
async fn lost(app: &App, caller: Caller, id: UploadId) -> Result<Upload, Problem> {
    let upload = find(app, caller, id).await?;
    if upload.finished_at.is_some() {
        // Somebody else was first, and has removed them.
        return Ok(upload);
    }
    forget(app, caller, id).await?;
    Err(Problem::internal(format!("pieces of upload {id} are lost")))
}

/// Writes the pieces of an upload one after the other.
async fn gather(storage: &Storage, parts: &[Part]) -> storage::Result<Arrived> {
    let mut incoming = storage.begin().await?;
    match copy(storage, parts, &mut incoming).await {
        Ok(()) => incoming.finish().await,
        Err(error) => {
            incoming.abort().await;
            Err(error)
        }
    }
}

async fn copy(storage: &Storage, parts: &[Part], to: &mut Incoming) -> storage::Result<()> {
    for part in parts {
        let mut bytes = storage.read_part(&part.name).await?;
        while let Some(chunk) = bytes.try_next().await? {
            to.write(&chunk).await?;
        }
    }
    Ok(())
}

/// Ends an upload, and removes what has arrived of it.
pub(crate) async fn forget(app: &App, caller: Caller, id: UploadId) -> Result<(), Problem> {
    let mut tx = app.begin().await?;
    let pieces = uploads::delete(&mut tx, caller.owner, id, app.db.now()).await?;
    tx.commit().await?;
    if !pieces.is_empty() {
        remove(app.storage()?, pieces).await;
    }
    Ok(())
}
