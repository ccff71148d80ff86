//! `lyo api`, which is `lyo-api`: the HTTP interface as one process of a fleet.

use std::io::{Write as _, stdout};

use anyhow::Context;
use clap::Args;
use fleet::{FleetArgs, Process, Role, check, config::ListenArgs};
use platform::{config::DataArgs, storage::StorageArgs};
use tokio::net::TcpListener;

use crate::{
    ApiConfig, App, Files, IdentityArgs, Network, NetworkArgs, OperatorArgs, Operators,
    PasswordArgs, WebhookArgs, serve, serve::check_address,
};

/// What an API of a fleet needs to know.
#[derive(Clone, Debug, Args)]
pub struct ApiArgs {
    #[command(flatten)]
    fleet: FleetArgs,

    #[command(flatten)]
    listen: ListenArgs,

    #[command(flatten)]
    identity: IdentityArgs,

    #[command(flatten)]
    passwords: PasswordArgs,

    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    storage: StorageArgs,

    #[command(flatten)]
    operator: OperatorArgs,

    #[command(flatten)]
    webhooks: WebhookArgs,
}

/// Answers requests until it is asked to stop.
///
/// # Errors
/// When the address is taken, or is not a loopback address and there is no signing key, the database cannot be reached, or a part
/// fails.
pub async fn run(args: &ApiArgs) -> anyhow::Result<()> {
    let address = args.listen.address();
    if args.listen.check {
        return check::ready(address).await;
    }
    // At once: what listens for nobody must not migrate a database first.
    check_address(address, args.identity.signing_keys.is_none())?;
    let mut process = Process::start(&args.fleet, Role::Api).await?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    let mut app = App::new(
        process.db.clone(),
        process.bell.clone(),
        process.health.clone(),
    );
    args.identity.apply(&mut app);
    args.passwords.apply(&mut app);
    app.network = Network::new(args.network.clone());
    app.files = Files::new(args.storage.open(&args.data)?);
    app.operators = args.operator.operators(Operators::Nobody);
    app.sendgrid_key
        .clone_from(&args.webhooks.sendgrid_webhook_key);
    let stop = process.stop.clone();
    process.part(serve(app, ApiConfig::default(), listener, stop));
    // Whoever started it may have stopped listening: that is no reason to stop serving.
    let _ = writeln!(stdout(), "The API listens on http://{address}");
    process.run().await
}
