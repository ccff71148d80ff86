//! Programs of others: where they are, and how a child is tied to this process.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::process::Command;

/// Sets the user of a child, and the signal that it gets when its parent dies.
const SETPRIV: &str = "setpriv";

/// A user other than root, to whom PostgreSQL can belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// The number of the user.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

impl User {
    /// Who owns servers that refuse to run as root: nobody else's business unless we are root.
    ///
    /// # Errors
    /// When we are root and there is no other user.
    pub(crate) async fn of_servers() -> anyhow::Result<Option<Self>> {
        if number("-u", None).await? != 0 {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let (Ok(uid), Ok(gid)) = (
                number("-u", Some(name)).await,
                number("-g", Some(name)).await,
            ) {
                return Ok(Some(Self { uid, gid }));
            }
        }
        anyhow::bail!("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
    }
}

async fn number(option: &str, name: Option<&str>) -> anyhow::Result<u32> {
    let output = Command::new("id").arg(option).args(name).output().await?;
    ensure!(output.status.success(), "there is no such user");
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// A program on the `PATH` of a typical system, or what to install.
///
/// # Errors
/// When it is not there.
pub(crate) fn find(program: &str, package: &str) -> anyhow::Result<PathBuf> {
    let folders = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/opt/homebrew/bin",
    ];
    let found = folders.iter().map(|folder| Path::new(folder).join(program));
    found.into_iter().find(|file| file.is_file()).with_context(|| {
        format!("there is no {program}: install it (Debian and Ubuntu: sudo apt-get install {package})")
    })
}

/// A command that dies with this process, as this user, even if this process is killed.
pub(crate) fn tied(program: &Path, user: Option<User>) -> Command {
    let setpriv = find(SETPRIV, "util-linux").ok();
    let mut command = match setpriv {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            if let Some(User { uid, gid }) = user {
                command
                    .arg(format!("--reuid={uid}"))
                    .arg(format!("--regid={gid}"))
                    .arg("--clear-groups");
            }
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        // Elsewhere than on Linux a killed experiment leaves its children behind.
        None => Command::new(program),
    };
    command.kill_on_drop(true).current_dir("/");
    command
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be run or fails; with what it said.
pub(crate) async fn finish(mut command: Command) -> anyhow::Result<()> {
    let output = command.output().await.context("a program cannot be run")?;
    ensure!(
        output.status.success(),
        "{} failed: {}{}",
        command.as_std().get_program().display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(())
}
