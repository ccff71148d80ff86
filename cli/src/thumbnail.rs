//! `lyo thumbnail`: the variants of images on this machine, as the platform makes them.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use media::{Fit, Format, Limits, Pool, Wanted};

/// Which images, and what to make of them.
#[derive(Clone, Debug, Args)]
pub(crate) struct ThumbnailArgs {
    /// JPEG, PNG, WebP or GIF images.
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
/// When a folder cannot be created.
pub(crate) async fn run(args: &ThumbnailArgs) -> anyhow::Result<ExitCode> {
    let pool = Pool::new(Limits::default());
    let wanted: Vec<Wanted> = args.sizes.iter().copied().map(wanted).collect();
    let mut code = ExitCode::SUCCESS;
    for file in &args.files {
        let out = args.out.join(file.file_stem().unwrap_or_default());
        fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
        match pool.variants(file, &wanted, &out).await {
            Ok(made) => {
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
            Err(error) => {
                eprintln!("{}: {error} ({})", file.display(), error.code());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
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
