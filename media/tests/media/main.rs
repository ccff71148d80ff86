//! Images through real processes: what comes out, what is refused, and what happens to processes.

mod corpus;
mod hostile;
mod pictures;
mod processes;
mod variants;

use std::path::Path;

use media::{Error, Fit, Format, Limits, Made, Pool, Wanted};

/// A pool of the processes that the product has.
fn pool() -> Pool {
    pool_within(Limits::default())
}

fn pool_within(limits: Limits) -> Pool {
    Pool::of_program(limits, env!("CARGO_BIN_EXE_media-child"))
}

fn inside(name: &str, side: u32) -> Wanted {
    Wanted {
        name: name.to_owned(),
        width: side,
        height: side,
        fit: Fit::Inside,
        formats: vec![Format::Webp, Format::Jpeg],
    }
}

/// Writes `bytes` to a file in `folder` and makes the variants of it.
async fn make(pool: &Pool, folder: &Path, bytes: &[u8], wanted: &[Wanted]) -> Result<Made, Error> {
    let source = folder.join("source");
    std::fs::write(&source, bytes).map_err(|error| Error::Files(error.to_string()))?;
    pool.variants(&source, wanted, folder).await
}
