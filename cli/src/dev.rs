//! `lyo dev`: the whole system in one process.

use std::{
    io::{ErrorKind, Write, stdout},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use fleet::signal;
use media::{Limits, Pool};
use tokio::net::TcpListener;

use crate::{
    config::SystemArgs,
    embedded::Embedded,
    lock::{Claim, DataLock},
};

/// The port when nobody asks for one, and the first of those that are tried.
const PORT: u16 = 8080;

/// How many ports are tried when nobody asks for one.
const PORTS_TRIED: u16 = 20;

/// Where to listen, and what to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct DevArgs {
    /// The address to listen on. Others reach it only with a signing key.
    #[arg(long, value_name = "ADDRESS", env = "HOST", default_value_t = Ipv4Addr::LOCALHOST.into())]
    host: IpAddr,

    /// The port to listen on; 0 takes any free one [default: 8080, or the next free one]
    #[arg(long, env = "PORT")]
    port: Option<u16>,

    #[command(flatten)]
    system: SystemArgs,
}

/// Serves until it is told to stop; courses that were not finished are continued.
///
/// # Errors
/// When the data folder is taken, the port is taken, or a part of the system fails.
pub(crate) async fn run(args: &DevArgs) -> anyhow::Result<ExitCode> {
    let folder = args.system.data.folder()?;
    let lock = match DataLock::claim(&folder).await? {
        Claim::Ours(lock) => lock,
        Claim::Theirs(address) => bail!(
            "lyo already runs on the data folder {}: use http://{address}, \
             or choose another folder with --data or LYO_DATA",
            folder.display()
        ),
    };
    let listener = bind(args.host, args.port).await?;
    let mut system = Embedded::start(&args.system, Pool::new(Limits::default()), listener).await?;
    lock.announce(system.address)?;
    // Whoever started it may have stopped listening: that is no reason to stop serving.
    let _ = writeln!(
        stdout(),
        "{}",
        welcome(
            system.address,
            &folder.display().to_string(),
            &system.token().await?
        )
    );
    let ended = tokio::select! {
        stopped = signal::stop() => stopped.map_err(Into::into),
        failure = system.failed() => Err(failure),
    };
    eprintln!("Stopping: work in progress is put back and continues at the next start.");
    let drained = system.drain().await;
    ended?;
    drained?;
    Ok(ExitCode::SUCCESS)
}

async fn bind(host: IpAddr, port: Option<u16>) -> anyhow::Result<TcpListener> {
    if let Some(port) = port {
        let address = SocketAddr::from((host, port));
        return TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}: choose another port with --port, or 0 for any")
        });
    }
    for port in PORT..PORT + PORTS_TRIED {
        match TcpListener::bind((host, port)).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return bound.with_context(|| format!("cannot listen on {host}")),
        }
    }
    bail!(
        "the ports {PORT} to {} are taken: choose one with --port",
        PORT + PORTS_TRIED - 1
    )
}

fn welcome(address: SocketAddr, folder: &str, token: &str) -> String {
    format!(
        "Lyo runs at http://{address}
  Try it:   curl -X POST http://{address}/v1/courses -H 'Content-Type: application/json' -d '{{\"topic\": \"Tide pools\"}}'
  Watch it: curl -N http://{address}/v1/tasks/ID/events
  Sign in:  curl http://{address}/v1/users/me -H 'Authorization: Bearer {token}'
  Or:       lyo course \"Tide pools\"
  API docs: http://{address}/docs
  Data:     {folder}
Stop it with Ctrl-C."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_skipped_unless_it_was_asked_for() -> anyhow::Result<()> {
        let localhost = IpAddr::from(Ipv4Addr::LOCALHOST);
        let first = bind(localhost, None).await?;

        let second = bind(localhost, None).await?;
        let refused = bind(localhost, Some(first.local_addr()?.port())).await;

        assert_ne!(first.local_addr()?.port(), second.local_addr()?.port());
        assert!(refused.is_err_and(|error| format!("{error:#}").contains("--port")));
        Ok(())
    }
}
