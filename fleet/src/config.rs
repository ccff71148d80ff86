//! What every process of a fleet needs to know. The environment comes first.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::{ArgAction, Args};
use platform::config::Secret;

/// Where the others are.
#[derive(Clone, Debug, Args)]
pub struct FleetArgs {
    /// The database of the fleet: `postgres://USER:PASSWORD@HOST/NAME`, with TLS by
    /// `?sslmode=verify-full&sslrootcert=FILE`; `sqlite://FILE` for processes on one machine
    #[arg(
        long,
        help_heading = "Fleet",
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true
    )]
    pub database_url: Secret,

    /// The Redis of the fleet: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://...` with TLS, or
    /// `unix:///SOCKET`. It may be lost or emptied at any time. Sentinel and Cluster are not supported
    #[arg(
        long,
        help_heading = "Fleet",
        value_name = "URL",
        env = "REDIS_URL",
        hide_env_values = true
    )]
    pub redis_url: Secret,

    /// Connections to the database at most.
    #[arg(
        long,
        help_heading = "Fleet",
        value_name = "NUMBER",
        env = "LYO_DATABASE_CONNECTIONS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub database_connections: u32,

    /// Whether to bring the database to this release at the start; processes that start together wait
    /// for the first.
    #[arg(
        long,
        help_heading = "Fleet",
        value_name = "BOOLEAN",
        env = "LYO_MIGRATE",
        default_value_t = true,
        action = ArgAction::Set
    )]
    pub migrate: bool,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, Args)]
pub struct ListenArgs {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", env = "HOST", default_value_t = Ipv4Addr::LOCALHOST.into())]
    pub host: IpAddr,

    /// The port to listen on; 0 takes any free one.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Ask the process that listens there whether it is ready, and exit with 0 or 1.
    #[arg(long)]
    pub check: bool,
}

impl ListenArgs {
    /// The socket address.
    pub fn address(&self) -> SocketAddr {
        (self.host, self.port).into()
    }
}
