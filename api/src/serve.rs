//! The sockets: where the API listens, and for how long.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
use poem::{Server, listener::TcpAcceptor};
use tokio::{join, net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, build},
    connections::Connections,
    descriptors,
    limits::{CONNECTIONS_MAX, DRAIN_TIMEOUT, HEADER_TIMEOUT, IDLE_TIMEOUT},
};

/// The bounds on connections. The default is the one to use; tests have less patience.
#[derive(Clone, Copy, Debug)]
pub struct ApiConfig {
    /// The most open connections; fewer where the system allows fewer open files.
    pub connections_max: usize,
    /// How long a connection may take to send the header of a request.
    pub header_timeout: Duration,
    /// How long a connection may be silent in both directions.
    pub idle_timeout: Duration,
    /// How long running requests may take to end after `stop`.
    pub drain_timeout: Duration,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

/// Serves the API until `stop` is cancelled and the running requests have ended.
///
/// # Errors
/// When others can reach the address and the application is open to whoever does. Also when the
/// socket has no address.
pub async fn serve(
    mut app: App,
    config: ApiConfig,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the API's socket has no address")?;
    check_address(address, app.open)?;
    app.stop = stop.clone();
    let config = ApiConfig {
        connections_max: descriptors::connections(config.connections_max),
        ..config
    };
    let acceptor = Connections::new(TcpAcceptor::from_tokio(listener)?, config);
    // Whoever keeps many WebSockets open leaves room for requests.
    app.sockets = app.sockets.at_most(config.connections_max / 2);
    let (sockets, joining) = (app.sockets.clone(), app.joining.clone());
    let server = Server::new_with_acceptor(acceptor);
    let drain = Some(config.drain_timeout);
    server
        .run_with_graceful_shutdown(build(app), stop.cancelled_owned(), drain)
        .await?;
    // The server does not count what has become a WebSocket, nor what goes on beside a request. What
    // does not end in time is cut off.
    joining.close();
    let ended = async { join!(sockets.left(), joining.wait()) };
    let _ = timeout(config.drain_timeout, ended).await;
    Ok(())
}

/// Refuses an address that others can reach, where whoever comes without a token may do everything.
///
/// # Errors
/// When it does, with what to do.
pub fn check_address(address: SocketAddr, open: bool) -> anyhow::Result<()> {
    ensure!(
        address.ip().is_loopback() || !open,
        "the API may listen on {address} only with a signing key: without one there are no accounts, \
         and whoever reaches it may do everything. Set LYO_SIGNING_KEYS to the output of \
         `openssl rand -base64 32`, the same for every API, or listen on 127.0.0.1 or [::1]"
    );
    Ok(())
}
