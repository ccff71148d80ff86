//! What a process that serves nothing else tells over HTTP: its health at `/healthz` and `/readyz`, and
//! what it has counted at `/metrics`.

use std::collections::BTreeMap;

use models::Db;
use platform::health::{Health, Status};
use poem::{
    EndpointExt as _, IntoResponse as _, Response, Route, Server, get, handler,
    http::StatusCode,
    listener::TcpAcceptor,
    web::{Data, Json},
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What readiness looks at.
#[derive(Clone, Debug)]
struct Probed {
    db: Db,
    health: Health,
}

/// Answers probes until it is stopped.
///
/// # Errors
/// When the socket cannot be used.
pub async fn serve(
    db: Db,
    health: Health,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    platform::metrics::install()?;
    let routes = Route::new()
        .at("/healthz", get(alive))
        .at("/readyz", get(ready))
        .at("/metrics", get(counted))
        .data(Probed { db, health });
    Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?)
        .run_with_graceful_shutdown(routes, stop.cancelled_owned(), None)
        .await?;
    Ok(())
}

#[handler]
fn alive() -> Response {
    Json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})).into_response()
}

#[handler]
fn counted() -> Response {
    match platform::metrics::render() {
        Ok(text) => text.with_content_type("text/plain").into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[handler]
async fn ready(probed: Data<&Probed>) -> Response {
    let mut components: BTreeMap<&str, Status> = probed.health.snapshot();
    let database = match probed.db.ping().await {
        Ok(()) => Status::Ready,
        Err(_) => Status::Down("The database does not answer.".to_owned()),
    };
    components.insert("database", database);
    let ready = !components
        .values()
        .any(|status| matches!(status, Status::Down(_)));
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Json(json!({"ready": ready, "components": components}))
        .with_status(status)
        .into_response()
}
