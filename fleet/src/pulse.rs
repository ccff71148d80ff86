//! Tells readiness how the bell is.

use std::time::Duration;

use jobs::bell::Bell;
use platform::health::{Health, Status};
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::Role;

/// How often the bell is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Reports until it is stopped.
pub(crate) async fn report(bell: Bell, health: Health, role: Role, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let status = match (bell.trouble(), &role) {
            (None, _) => Status::Ready,
            // What an API accepts waits in the database until the bell is back.
            (Some(trouble), Role::Api) => Status::Degraded(trouble),
            (Some(trouble), Role::Worker(_)) => Status::Down(trouble),
        };
        health.set("bell", status);
    }
}
