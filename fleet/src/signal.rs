//! How a person or a supervisor asks the process to stop.

/// Waits for Ctrl-C or, on Unix, for SIGTERM.
///
/// # Errors
/// When the system does not let us listen for signals.
pub async fn stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            pressed = tokio::signal::ctrl_c() => pressed,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
