//! `lyo thumbnail`: images go in, files of the wanted sizes come out, and what is no image is named.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::lyo;

/// A small image with an orientation, of those that the search for crashes begins with.
fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../media/fuzz/seeds/turned.jpg")
}

#[tokio::test]
async fn images_become_files_of_the_wanted_sizes() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut command = lyo(folder.path());
    command
        .arg("thumbnail")
        .arg(image())
        .args(["--size", "16", "--size", "8", "--out"]);

    let output = command.arg(folder.path()).output().await?;

    assert!(output.status.success(), "{output:?}");
    for name in ["16.webp", "16.jpg", "8.webp", "8.jpg"] {
        let path = folder.path().join("turned").join(name);
        assert!(path.metadata()?.len() > 0, "{name}");
    }
    // It is stored 19 wide and 13 high, on its side.
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("13x19"),
        "{output:?}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_image_is_refused_with_its_code() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let mut command = lyo(folder.path());
    command.arg("thumbnail").arg(manifest).arg("--out");

    let output = command.arg(folder.path()).output().await?;

    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("unsupported_type"),
        "{output:?}"
    );
    Ok(())
}
