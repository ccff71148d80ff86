//! `lyo thumbnail`: the variants of images on this machine, as the platform makes them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use media::{Fit, Format, Limits, Made, Pool, Wanted};

/// Which images, and what to make of them.
#[derive(Clone, Debug, Args)]
pub(crate) struct ThumbnailArgs {
    /// JPEG, PNG, WebP or GIF images; BMP and TIFF in a build with `more-formats`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The longest sides in pixels; each becomes a WebP and a JPEG. Nothing is enlarged.
    #[arg(long = "size", value_name = "PIXELS", default_values_t = [96, 320, 1080])]
    sizes: Vec<u32>,

    /// Where to write them: a folder for each image, called as it is without its extension.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
}

/// Makes the variants of each image; the exit code is 1 when one of them is refused.
///
/// # Errors
/// When two images would be written to one folder; nothing is written then.
pub(crate) async fn run(args: &ThumbnailArgs) -> anyhow::Result<ExitCode> {
    let folders = folders(args)?;
    let pool = Pool::new(Limits::default());
    let wanted: Vec<Wanted> = args.sizes.iter().copied().map(wanted).collect();
    let mut code = ExitCode::SUCCESS;
    for (file, out) in args.files.iter().zip(&folders) {
        match make(&pool, file, &wanted, out).await {
            Ok(made) => print(file, made),
            Err(error) => {
                eprintln!("{}: {error:#}", file.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// The folder of each image.
fn folders(args: &ThumbnailArgs) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for file in &args.files {
        let folder = args.out.join(file.file_stem().unwrap_or_default());
        if let Some(at) = folders.iter().position(|other| *other == folder) {
            let (other, file) = (args.files[at].display(), file.display());
            bail!("{other} and {file} would both go to {}", folder.display());
        }
        folders.push(folder);
    }
    Ok(folders)
}

async fn make(pool: &Pool, file: &Path, wanted: &[Wanted], out: &Path) -> anyhow::Result<Made> {
    let fresh = !out.exists();
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let made = pool.variants(file, wanted, out).await;
    if made.is_err() && fresh {
        // Whatever is in it was made for this image, and is no variant.
        fs::remove_dir_all(out).with_context(|| format!("cannot remove {}", out.display()))?;
    }
    made.map_err(|error| anyhow!("{error} ({})", error.code()))
}

fn print(file: &Path, made: Made) {
    println!(
        "{}: {}x{}, {}, {}",
        file.display(),
        made.width,
        made.height,
        made.colour,
        made.thumbhash
    );
    for variant in made.variants {
        let path = variant.path.display();
        println!(
            "  {path}: {}x{}, {} bytes",
            variant.width, variant.height, variant.bytes
        );
    }
}

fn wanted(size: u32) -> Wanted {
    Wanted {
        name: size.to_string(),
        width: size,
        height: size,
        fit: Fit::Inside,
        formats: vec![Format::Webp, Format::Jpeg],
    }
}
